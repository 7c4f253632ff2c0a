-- DropForeignKey
ALTER TABLE "release_entries" DROP CONSTRAINT "release_entries_prompt_id_fkey";

-- DropForeignKey
ALTER TABLE "release_entries" DROP CONSTRAINT "release_entries_version_id_fkey";

-- AlterTable
ALTER TABLE "projects" ADD COLUMN     "deleted_at" TIMESTAMPTZ(3),
ADD COLUMN     "epoch" BIGINT NOT NULL DEFAULT 0,
ADD COLUMN     "epoch_token" UUID NOT NULL DEFAULT gen_random_uuid(),
ADD COLUMN     "purge_salt" BYTEA;

-- AlterTable
ALTER TABLE "versions" ADD COLUMN     "purged_at" TIMESTAMPTZ(3),
ALTER COLUMN "content_hash" DROP NOT NULL;

-- CreateTable
CREATE TABLE "purged_texts" (
    "version_id" UUID NOT NULL,
    "digest" BYTEA NOT NULL,
    "project_id" BIGINT NOT NULL,

    CONSTRAINT "purged_texts_pkey" PRIMARY KEY ("version_id","digest")
);

-- CreateTable
CREATE TABLE "kept_numbers" (
    "project_id" BIGINT NOT NULL,
    "prompt" TEXT NOT NULL,
    "alias" TEXT NOT NULL,
    "number" INTEGER NOT NULL,

    CONSTRAINT "kept_numbers_pkey" PRIMARY KEY ("project_id","prompt","alias")
);

-- CreateIndex
CREATE INDEX "purged_texts_project_id_digest_idx" ON "purged_texts"("project_id", "digest");

-- CreateIndex
CREATE INDEX "aliases_version_id_idx" ON "aliases"("version_id");

-- CreateIndex
CREATE INDEX "aliases_canary_release_id_idx" ON "aliases"("canary_release_id");

-- CreateIndex
CREATE INDEX "aliases_canary_version_id_idx" ON "aliases"("canary_version_id");

-- CreateIndex
CREATE INDEX "release_commits_release_id_idx" ON "release_commits"("release_id");

-- AddForeignKey
ALTER TABLE "purged_texts" ADD CONSTRAINT "purged_texts_version_id_fkey" FOREIGN KEY ("version_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "purged_texts" ADD CONSTRAINT "purged_texts_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "kept_numbers" ADD CONSTRAINT "kept_numbers_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- What is written once goes only with its project, once that is marked as deleted. Each table leads to the project its own way.
CREATE FUNCTION promptsync_refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    project BIGINT;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'versions' THEN SELECT p."project_id" INTO project FROM "prompts" p WHERE p."id" = OLD."prompt_id";
        WHEN 'release_entries' THEN SELECT r."project_id" INTO project FROM "releases" r WHERE r."id" = OLD."release_id";
        WHEN 'alias_moves' THEN SELECT a."project_id" INTO project FROM "aliases" a WHERE a."id" = OLD."alias_id";
        ELSE project := OLD."project_id";
    END CASE;
    IF EXISTS (SELECT 1 FROM "projects" p WHERE p."id" = project AND p."deleted_at" IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'DELETE of % is refused: what is written there stays', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END;
$$;

-- The one change a version can take: everything of its content goes, for good, and nothing else changes.
CREATE FUNCTION promptsync_refuse_all_but_purge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD."purged_at" IS NULL AND NEW."purged_at" IS NOT NULL
        AND NEW."content" IS NULL AND NEW."messages" IS NULL AND NEW."inputs" IS NULL AND NEW."content_hash" IS NULL
        AND NEW."config"::text = '{}' AND NEW."variants"::text = '[]'
        AND (NEW."id", NEW."prompt_id", NEW."number", NEW."label", NEW."release_id", NEW."type", NEW."template", NEW."path", NEW."created_at")
            IS NOT DISTINCT FROM
            (OLD."id", OLD."prompt_id", OLD."number", OLD."label", OLD."release_id", OLD."type", OLD."template", OLD."path", OLD."created_at")
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'UPDATE of versions is refused: what is written there stays' USING ERRCODE = 'integrity_constraint_violation';
END;
$$;

DROP TRIGGER versions_immutable ON "versions";
CREATE TRIGGER versions_immutable BEFORE UPDATE ON "versions" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_all_but_purge();
DROP TRIGGER releases_immutable ON "releases";
CREATE TRIGGER releases_immutable BEFORE UPDATE ON "releases" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
DROP TRIGGER release_entries_immutable ON "release_entries";
CREATE TRIGGER release_entries_immutable BEFORE UPDATE ON "release_entries" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
DROP TRIGGER release_commits_immutable ON "release_commits";
CREATE TRIGGER release_commits_immutable BEFORE UPDATE ON "release_commits" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
DROP TRIGGER alias_moves_immutable ON "alias_moves";
CREATE TRIGGER alias_moves_immutable BEFORE UPDATE ON "alias_moves" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();

CREATE TRIGGER versions_kept BEFORE DELETE ON "versions" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER releases_kept BEFORE DELETE ON "releases" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER release_entries_kept BEFORE DELETE ON "release_entries" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER release_commits_kept BEFORE DELETE ON "release_commits" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER alias_moves_kept BEFORE DELETE ON "alias_moves" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();

-- The rows that carry counters stay as well, and a project's for ever.
CREATE TRIGGER prompts_kept BEFORE DELETE ON "prompts" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER prompts_untruncated BEFORE TRUNCATE ON "prompts" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER aliases_kept BEFORE DELETE ON "aliases" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER aliases_untruncated BEFORE TRUNCATE ON "aliases" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER projects_kept BEFORE DELETE ON "projects" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER projects_untruncated BEFORE TRUNCATE ON "projects" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER kept_numbers_kept BEFORE DELETE ON "kept_numbers" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER kept_numbers_untruncated BEFORE TRUNCATE ON "kept_numbers" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER kept_numbers_rise BEFORE UPDATE ON "kept_numbers" FOR EACH ROW
    WHEN (NEW."number" < OLD."number") EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER projects_epoch_rises BEFORE UPDATE OF "epoch" ON "projects" FOR EACH ROW
    WHEN (NEW."epoch" < OLD."epoch") EXECUTE FUNCTION promptsync_refuse_change();

-- Nor does a row change hands or names, which would lead around all of this.
CREATE TRIGGER projects_identity BEFORE UPDATE OF "id", "slug" ON "projects" FOR EACH ROW
    WHEN ((NEW."id", NEW."slug") IS DISTINCT FROM (OLD."id", OLD."slug")) EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER prompts_identity BEFORE UPDATE OF "id", "project_id", "name" ON "prompts" FOR EACH ROW
    WHEN ((NEW."id", NEW."project_id", NEW."name") IS DISTINCT FROM (OLD."id", OLD."project_id", OLD."name"))
    EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER aliases_identity BEFORE UPDATE OF "id", "project_id", "name", "prompt_id" ON "aliases" FOR EACH ROW
    WHEN ((NEW."id", NEW."project_id", NEW."name", NEW."prompt_id") IS DISTINCT FROM (OLD."id", OLD."project_id", OLD."name", OLD."prompt_id"))
    EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER kept_numbers_identity BEFORE UPDATE OF "project_id", "prompt", "alias" ON "kept_numbers" FOR EACH ROW
    WHEN ((NEW."project_id", NEW."prompt", NEW."alias") IS DISTINCT FROM (OLD."project_id", OLD."prompt", OLD."alias"))
    EXECUTE FUNCTION promptsync_refuse_change();
