-- CreateTable
CREATE TABLE "projects" (
    "id" BIGSERIAL NOT NULL,
    "slug" TEXT NOT NULL,
    "name" TEXT,
    "public_read" BOOLEAN NOT NULL DEFAULT false,
    "scan" TEXT NOT NULL DEFAULT 'warn',
    "default_alias" TEXT NOT NULL DEFAULT 'production',
    "release_number" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "projects_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "api_keys" (
    "id" UUID NOT NULL,
    "project_id" BIGINT,
    "name" TEXT NOT NULL,
    "origin" TEXT NOT NULL DEFAULT 'created',
    "secret_hash" BYTEA NOT NULL,
    "scopes" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "prompts" (
    "id" BIGSERIAL NOT NULL,
    "project_id" BIGINT NOT NULL,
    "name" TEXT NOT NULL,
    "title" TEXT,
    "description" TEXT,
    "labels" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "metadata" JSON NOT NULL DEFAULT '{}',
    "version_number" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "archived_at" TIMESTAMPTZ(3),

    CONSTRAINT "prompts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "versions" (
    "id" UUID NOT NULL,
    "prompt_id" BIGINT NOT NULL,
    "number" INTEGER NOT NULL,
    "label" TEXT,
    "release_id" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "template" TEXT NOT NULL,
    "content" TEXT,
    "messages" JSON,
    "config" JSON NOT NULL,
    "inputs" JSON,
    "variants" JSON NOT NULL,
    "content_hash" TEXT NOT NULL,
    "path" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "versions_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "releases" (
    "id" BIGSERIAL NOT NULL,
    "project_id" BIGINT NOT NULL,
    "number" INTEGER NOT NULL,
    "label" TEXT,
    "base_id" BIGINT,
    "lineage" BIGINT[],
    "message" TEXT,
    "git_repo" TEXT,
    "git_commit" TEXT,
    "git_branch" TEXT,
    "git_dirty" BOOLEAN,
    "actor" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "releases_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "release_entries" (
    "release_id" BIGINT NOT NULL,
    "prompt_id" BIGINT NOT NULL,
    "version_id" UUID,

    CONSTRAINT "release_entries_pkey" PRIMARY KEY ("release_id","prompt_id")
);

-- CreateTable
CREATE TABLE "release_commits" (
    "project_id" BIGINT NOT NULL,
    "commit" TEXT NOT NULL,
    "release_id" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "release_commits_pkey" PRIMARY KEY ("project_id","commit","release_id")
);

-- CreateTable
CREATE TABLE "aliases" (
    "id" BIGSERIAL NOT NULL,
    "project_id" BIGINT NOT NULL,
    "name" TEXT NOT NULL,
    "prompt_id" BIGINT,
    "release_id" BIGINT,
    "version_id" UUID,
    "revision" INTEGER NOT NULL DEFAULT 0,
    "top_move_id" BIGINT,
    "canary_release_id" BIGINT,
    "canary_version_id" UUID,
    "canary_basis_points" INTEGER,
    "canary_salt" TEXT,
    "canary_started_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "aliases_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "alias_moves" (
    "id" BIGSERIAL NOT NULL,
    "alias_id" BIGINT NOT NULL,
    "revision" INTEGER NOT NULL,
    "action" TEXT NOT NULL,
    "release_id" BIGINT,
    "version_id" UUID,
    "below_move_id" BIGINT,
    "canary_release_id" BIGINT,
    "canary_version_id" UUID,
    "canary_basis_points" INTEGER,
    "reason" TEXT,
    "actor" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "alias_moves_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_entries" (
    "id" BIGSERIAL NOT NULL,
    "project" TEXT,
    "actor" TEXT NOT NULL,
    "key_id" UUID,
    "action" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "request_id" TEXT NOT NULL,
    "before" JSON,
    "after" JSON,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_entries_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "projects_slug_key" ON "projects"("slug");

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_secret_hash_key" ON "api_keys"("secret_hash");

-- CreateIndex
CREATE INDEX "api_keys_project_id_idx" ON "api_keys"("project_id");

-- CreateIndex
CREATE INDEX "api_keys_created_at_id_idx" ON "api_keys"("created_at", "id");

-- CreateIndex
CREATE UNIQUE INDEX "prompts_project_id_name_key" ON "prompts"("project_id", "name");

-- CreateIndex
CREATE INDEX "versions_release_id_idx" ON "versions"("release_id");

-- CreateIndex
CREATE UNIQUE INDEX "versions_prompt_id_number_key" ON "versions"("prompt_id", "number");

-- CreateIndex
CREATE UNIQUE INDEX "versions_prompt_id_label_key" ON "versions"("prompt_id", "label");

-- CreateIndex
CREATE UNIQUE INDEX "releases_project_id_number_key" ON "releases"("project_id", "number");

-- CreateIndex
CREATE UNIQUE INDEX "releases_project_id_label_key" ON "releases"("project_id", "label");

-- CreateIndex
CREATE INDEX "aliases_prompt_id_idx" ON "aliases"("prompt_id");

-- CreateIndex
CREATE INDEX "aliases_release_id_idx" ON "aliases"("release_id");

-- CreateIndex
CREATE UNIQUE INDEX "aliases_project_id_name_prompt_id_key" ON "aliases"("project_id", "name", "prompt_id");

-- CreateIndex
CREATE UNIQUE INDEX "alias_moves_alias_id_revision_key" ON "alias_moves"("alias_id", "revision");

-- CreateIndex
CREATE INDEX "audit_entries_project_id_idx" ON "audit_entries"("project", "id");

-- AddForeignKey
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "prompts" ADD CONSTRAINT "prompts_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "versions" ADD CONSTRAINT "versions_prompt_id_fkey" FOREIGN KEY ("prompt_id") REFERENCES "prompts"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "versions" ADD CONSTRAINT "versions_release_id_fkey" FOREIGN KEY ("release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "releases" ADD CONSTRAINT "releases_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "release_entries" ADD CONSTRAINT "release_entries_release_id_fkey" FOREIGN KEY ("release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "release_entries" ADD CONSTRAINT "release_entries_prompt_id_fkey" FOREIGN KEY ("prompt_id") REFERENCES "prompts"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "release_entries" ADD CONSTRAINT "release_entries_version_id_fkey" FOREIGN KEY ("version_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "release_commits" ADD CONSTRAINT "release_commits_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "release_commits" ADD CONSTRAINT "release_commits_release_id_fkey" FOREIGN KEY ("release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_prompt_id_fkey" FOREIGN KEY ("prompt_id") REFERENCES "prompts"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_release_id_fkey" FOREIGN KEY ("release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_version_id_fkey" FOREIGN KEY ("version_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_canary_release_id_fkey" FOREIGN KEY ("canary_release_id") REFERENCES "releases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_canary_version_id_fkey" FOREIGN KEY ("canary_version_id") REFERENCES "versions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "alias_moves" ADD CONSTRAINT "alias_moves_alias_id_fkey" FOREIGN KEY ("alias_id") REFERENCES "aliases"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- One project alias of a name: the unique index above takes every null prompt for another value.
CREATE UNIQUE INDEX "aliases_project_id_name_key" ON "aliases"("project_id", "name") WHERE "prompt_id" IS NULL;

-- What is written once stays as it is, whoever asks.
CREATE FUNCTION promptsync_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is written there stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END;
$$;

CREATE TRIGGER versions_immutable BEFORE UPDATE OR DELETE ON "versions" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER versions_untruncated BEFORE TRUNCATE ON "versions" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER releases_immutable BEFORE UPDATE OR DELETE ON "releases" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER releases_untruncated BEFORE TRUNCATE ON "releases" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_entries_immutable BEFORE UPDATE OR DELETE ON "release_entries" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_entries_untruncated BEFORE TRUNCATE ON "release_entries" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_commits_immutable BEFORE UPDATE OR DELETE ON "release_commits" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER release_commits_untruncated BEFORE TRUNCATE ON "release_commits" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER alias_moves_immutable BEFORE UPDATE OR DELETE ON "alias_moves" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER alias_moves_untruncated BEFORE TRUNCATE ON "alias_moves" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER audit_entries_immutable BEFORE UPDATE OR DELETE ON "audit_entries" FOR EACH ROW EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER audit_entries_untruncated BEFORE TRUNCATE ON "audit_entries" FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_change();

-- Numbers and revisions never go back.
CREATE TRIGGER projects_number_rises BEFORE UPDATE OF "release_number" ON "projects" FOR EACH ROW
    WHEN (NEW."release_number" < OLD."release_number") EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER prompts_number_rises BEFORE UPDATE OF "version_number" ON "prompts" FOR EACH ROW
    WHEN (NEW."version_number" < OLD."version_number") EXECUTE FUNCTION promptsync_refuse_change();
CREATE TRIGGER aliases_revision_rises BEFORE UPDATE OF "revision" ON "aliases" FOR EACH ROW
    WHEN (NEW."revision" < OLD."revision") EXECUTE FUNCTION promptsync_refuse_change();

-- A release is whole when it is committed: entries are added by the transaction that made it, or not at all.
CREATE FUNCTION promptsync_refuse_late_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added JOIN "releases" r ON r."id" = added."release_id" WHERE r.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'INSERT into % is refused: the release was committed before', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER release_entries_in_time AFTER INSERT ON "release_entries" REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION promptsync_refuse_late_entries();
