-- CreateTable
CREATE TABLE "version_includes" (
    "version_id" UUID NOT NULL,
    "reference" TEXT NOT NULL,
    "target_id" UUID,

    CONSTRAINT "version_includes_pkey" PRIMARY KEY ("version_id","reference")
);

-- CreateIndex
CREATE INDEX "version_includes_target_id_reference_idx" ON "version_includes"("target_id", "reference");

-- AddForeignKey
ALTER TABLE "version_includes" ADD CONSTRAINT "version_includes_version_id_fkey" FOREIGN KEY ("version_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "version_includes" ADD CONSTRAINT "version_includes_target_id_fkey" FOREIGN KEY ("target_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- As release entries, includes are written with their version or not at all, never change, and go only with their project.
CREATE FUNCTION promptsync_refuse_late_includes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added JOIN "versions" v ON v."id" = added."version_id" WHERE v.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'INSERT into % is refused: the version was committed before', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER version_includes_in_time AFTER INSERT ON "version_includes" REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_late_includes();

CREATE OR REPLACE FUNCTION promptsync_refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    project BIGINT;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'versions' THEN SELECT p."project_id" INTO project FROM "prompts" p WHERE p."id" = OLD."prompt_id";
        WHEN 'version_includes' THEN
            SELECT p."project_id" INTO project FROM "versions" v JOIN "prompts" p ON p."id" = v."prompt_id" WHERE v."id" = OLD."version_id";
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

CREATE TRIGGER version_includes_immutable BEFORE UPDATE ON "version_includes" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER version_includes_untruncated BEFORE TRUNCATE ON "version_includes" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER version_includes_kept BEFORE DELETE ON "version_includes" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_deletion();
