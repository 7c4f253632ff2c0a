-- AlterTable
ALTER TABLE "release_entries" ADD COLUMN "source_id" BIGINT, ADD COLUMN "path" TEXT;

-- CreateTable
CREATE TABLE "release_sources" (
    "release_id" BIGINT NOT NULL,
    "source_id" BIGINT NOT NULL,
    "name" TEXT NOT NULL,
    "prefix" TEXT,
    "path_file" TEXT,

    CONSTRAINT "release_sources_pkey" PRIMARY KEY ("release_id","source_id")
);

-- CreateTable
CREATE TABLE "sources" (
    "id" BIGSERIAL NOT NULL,
    "uid" UUID NOT NULL DEFAULT gen_random_uuid(),
    "project_id" BIGINT NOT NULL,
    "name" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "config" JSON NOT NULL,
    "secrets" JSON NOT NULL DEFAULT '{}',
    "prefix" TEXT,
    "include" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "exclude" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "template" TEXT NOT NULL DEFAULT 'jinja',
    "alias" TEXT,
    "ttl_seconds" INTEGER NOT NULL DEFAULT 300,
    "stale_seconds" INTEGER,
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "trusted" BOOLEAN NOT NULL DEFAULT false,
    "generation" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "revision" TEXT,
    "commit" TEXT,
    "release" TEXT,
    "checked_at" TIMESTAMPTZ(3),
    "synced_at" TIMESTAMPTZ(3),
    "unreachable_since" TIMESTAMPTZ(3),
    "failures" INTEGER NOT NULL DEFAULT 0,
    "next_check_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "sources_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "source_files" (
    "source_id" BIGINT NOT NULL,
    "path" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "version_id" UUID,

    CONSTRAINT "source_files_pkey" PRIMARY KEY ("source_id","path")
);

-- CreateTable
CREATE TABLE "source_runs" (
    "id" BIGSERIAL NOT NULL,
    "source_id" BIGINT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "trigger" TEXT NOT NULL,
    "forced" BOOLEAN NOT NULL DEFAULT false,
    "actor" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "commit" TEXT,
    "release" TEXT,
    "counts" JSON,
    "errors" JSON NOT NULL DEFAULT '[]',
    "warnings" JSON NOT NULL DEFAULT '[]',
    "fetches" JSON NOT NULL DEFAULT '[]',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "source_runs_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "source_deliveries" (
    "source_id" BIGINT NOT NULL,
    "delivery" TEXT NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "source_deliveries_pkey" PRIMARY KEY ("source_id","delivery")
);

-- CreateIndex
CREATE INDEX "sources_next_check_at_idx" ON "sources"("next_check_at");

-- CreateIndex
CREATE UNIQUE INDEX "sources_project_id_name_key" ON "sources"("project_id", "name");

-- CreateIndex
CREATE INDEX "source_runs_source_id_id_idx" ON "source_runs"("source_id", "id");

-- CreateIndex
CREATE INDEX "source_deliveries_received_at_idx" ON "source_deliveries"("received_at");

-- AddForeignKey
ALTER TABLE "release_sources" ADD CONSTRAINT "release_sources_release_id_fkey" FOREIGN KEY ("release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "sources" ADD CONSTRAINT "sources_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "source_files" ADD CONSTRAINT "source_files_source_id_fkey" FOREIGN KEY ("source_id") REFERENCES "sources"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "source_runs" ADD CONSTRAINT "source_runs_source_id_fkey" FOREIGN KEY ("source_id") REFERENCES "sources"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "source_deliveries" ADD CONSTRAINT "source_deliveries_source_id_fkey" FOREIGN KEY ("source_id") REFERENCES "sources"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- Runs that are not ended are few among many, and looked for all the time. Of one source one is asked for at a time.
CREATE INDEX "source_runs_open_idx" ON "source_runs"("source_id") WHERE "finished_at" IS NULL;
CREATE UNIQUE INDEX "source_runs_pending_key" ON "source_runs"("source_id") WHERE "status" = 'pending';

-- A release's routing is written once, with the release, as its entries are.
CREATE TRIGGER release_sources_immutable BEFORE UPDATE ON "release_sources" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_sources_kept BEFORE DELETE ON "release_sources" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
CREATE TRIGGER release_sources_untruncated BEFORE TRUNCATE ON "release_sources" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_sources_in_time AFTER INSERT ON "release_sources" REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_late_entries();

CREATE OR REPLACE FUNCTION promptsync_refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    project BIGINT;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'versions' THEN SELECT p."project_id" INTO project FROM "prompts" p WHERE p."id" = OLD."prompt_id";
        WHEN 'version_includes' THEN
            SELECT p."project_id" INTO project FROM "versions" v JOIN "prompts" p ON p."id" = v."prompt_id" WHERE v."id" = OLD."version_id";
        WHEN 'release_entries', 'release_sources' THEN SELECT r."project_id" INTO project FROM "releases" r WHERE r."id" = OLD."release_id";
        WHEN 'alias_moves' THEN SELECT a."project_id" INTO project FROM "aliases" a WHERE a."id" = OLD."alias_id";
        ELSE project := OLD."project_id";
    END CASE;
    IF EXISTS (SELECT 1 FROM "projects" p WHERE p."id" = project AND p."deleted_at" IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'DELETE of % is refused: what is written there stays', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END;
$$;
