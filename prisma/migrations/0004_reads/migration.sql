-- AlterTable
ALTER TABLE "aliases" ADD COLUMN     "epoch" BIGINT NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "audit_entries" ADD COLUMN     "epoch" BIGINT,
ADD COLUMN     "epoch_token" UUID;

-- AlterTable
ALTER TABLE "projects" ADD COLUMN     "purges" INTEGER NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "prompts" ADD COLUMN     "epoch" BIGINT NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "releases" ADD COLUMN     "uid" UUID NOT NULL DEFAULT gen_random_uuid();

-- CreateTable
CREATE TABLE "database_identity" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),

    CONSTRAINT "database_identity_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "audit_entries_project_epoch_idx" ON "audit_entries"("project", "epoch");

INSERT INTO "database_identity" DEFAULT VALUES;

CREATE TRIGGER projects_purges_rise BEFORE UPDATE OF "purges" ON "projects" FOR EACH ROW
    WHEN (NEW."purges" < OLD."purges") EXECUTE FUNCTION promptsync_refuse_change();

-- What a cache asks for when it catches up: rows carry the epoch that their transaction is about to make.
CREATE FUNCTION promptsync_note_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT p."epoch" + 1 INTO NEW."epoch" FROM "projects" p WHERE p."id" = NEW."project_id";
    RETURN NEW;
END;
$$;

CREATE TRIGGER prompts_epoch_at_first BEFORE INSERT ON "prompts" FOR EACH ROW
    WHEN (NEW."epoch" = 0) EXECUTE FUNCTION promptsync_note_epoch();
CREATE TRIGGER prompts_epoch BEFORE UPDATE ON "prompts" FOR EACH ROW EXECUTE FUNCTION promptsync_note_epoch();
CREATE TRIGGER aliases_epoch_at_first BEFORE INSERT ON "aliases" FOR EACH ROW
    WHEN (NEW."epoch" = 0) EXECUTE FUNCTION promptsync_note_epoch();
CREATE TRIGGER aliases_epoch BEFORE UPDATE ON "aliases" FOR EACH ROW EXECUTE FUNCTION promptsync_note_epoch();
