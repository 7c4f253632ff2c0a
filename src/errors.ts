/**
 * What went wrong at one place of the input: a path such as `prompts[3].name`, and what to do there; of a text its line and
 * column, from 1.
 */
export type Finding = { path: string; message: string; line?: number; column?: number }

/** Every error code there is, with its HTTP status, its title and the remedy. Codes are stable: clients match on them. */
export const errorTable = {
  'body.malformed': [400, 'The body cannot be parsed', 'Send a JSON object; `detail` says where it breaks.'],
  'body.encoding': [400, 'The body is not UTF-8', 'Encode the body as UTF-8.'],
  'body.nesting': [400, 'The body is nested too deeply', 'Nest at most 64 levels deep.'],
  'request.malformed': [400, 'The request cannot be parsed', 'Correct the URL, its percent-encoding or the HTTP itself.'],
  'project.conflict': [
    400,
    'The project is named twice',
    'Name the project once, or the same one in path, query, header and body.',
  ],
  'auth.required': [401, 'A key is needed', 'Send a key as `Authorization: Bearer ps_…` or `X-API-Key`.'],
  'auth.invalid': [401, 'The key is not known', 'Check that the key is whole and of this server.'],
  'auth.expired': [401, 'The key has expired', 'Use another key, or have one made.'],
  'hook.refused': [401, 'The webhook is refused', 'Check project, source, secret and signature; of a generic one the time, too.'],
  'auth.revoked': [401, 'The key was revoked', 'Use another key, or have one made.'],
  'scope.missing': [403, 'The key lacks a scope', 'Use a key that has the scope named in `detail`.'],
  'scope.global': [403, 'A global admin key is needed', 'Use an admin key without a project.'],
  'route.not_found': [404, 'No such route', 'Look the path up in `/openapi.json`; write `/` in a name as `%2F`.'],
  'project.not_found': [404, 'No such project', 'Check the slug, and that the key is of this project.'],
  'prompt.not_found': [404, 'No such prompt', 'Check the name and the project; `GET /prompts` lists them.'],
  'prompt.archived': [
    404,
    'The prompt is archived',
    'Ask for a version, a release or an alias, or push the prompt to revive it.',
  ],
  'prompt.not_in_release': [
    404,
    'The release does not hold the prompt',
    "Push the prompt into that release's alias, or ask for another ref.",
  ],
  'ref.not_found': [404, 'No such ref', 'Check the ref; `GET /prompts/:name/versions` lists the versions.'],
  'release.not_found': [404, 'No such release', 'Check the ref; `GET /releases` lists the releases.'],
  'alias.not_found': [404, 'No such alias', 'Check the name, and `?prompt=` where a pin is meant; `GET /aliases` lists them.'],
  'canary.not_found': [404, 'No canary is running', 'Nothing is to be done if it was to end; `POST /canary` starts one.'],
  'key.not_found': [404, 'No such key', 'Check the id; `GET /keys` lists them.'],
  'source.not_found': [404, 'No such source', 'Check the name and the project; `GET /sources` lists them.'],
  'run.not_found': [404, 'No such run', 'Check the id; `GET /sources/:name/runs` lists those that are kept.'],
  'purge.not_found': [
    404,
    'Nothing purged there',
    'Check the version; only what was purged and not allowed since can be allowed.',
  ],
  'method.not_allowed': [405, 'The method is not allowed', 'Use a method that the header `Allow` names.'],
  'representation.unavailable': [406, 'No acceptable representation', 'Accept `application/json`: a chat has no plain text.'],
  'request.timeout': [408, 'The request took too long to arrive', 'Send it again, on a faster line or in smaller pushes.'],
  'project.exists': [409, 'The project exists', 'Choose another slug, or `PATCH` the project there is.'],
  'label.taken': [409, 'The label is taken', 'Choose a new label: this one is a release of other content, or an alias.'],
  'alias.taken': [409, 'The alias is taken', 'Choose another alias: this one is the label of a release.'],
  'commit.ambiguous': [409, 'The commit is ambiguous', 'Give more digits of the commit.'],
  'canary.same_target': [409, 'The canary is the target already', 'Name a target that the alias does not point to.'],
  'canary.active': [409, 'A canary is running', 'Promote the canary or end it, then move the alias.'],
  'rollback.empty': [409, 'Nothing to roll back to', 'Move the alias with `PUT /aliases/:alias`.'],
  'prompt.included': [409, 'Other prompts include it', 'Push those that include it without it, drop them as well, or keep it.'],
  'content.purged': [
    409,
    'The content was purged',
    'Leave it out, or have an admin allow it: `DELETE /prompts/:name/:version/purge`.',
  ],
  'source.owned': [409, 'A source owns the prompt', 'Change it where the source takes it from, or remove the source.'],
  'version.purged': [410, 'The version was purged', 'Ask for another version; push one if there is none.'],
  'alias.moved': [412, 'The alias has moved', 'Read the alias again, decide, and send its new revision in `If-Match`.'],
  'body.too_large': [413, 'The body is too large', 'Split the push, or raise `PROMPTSYNC_BODY_LIMIT`.'],
  'body.unsupported_type': [415, 'The body is not JSON', 'Send JSON with `Content-Type: application/json`.'],
  'validation.failed': [422, 'The input is not valid', 'Correct the places that `errors` lists.'],
  'name.reserved': [422, 'The name is reserved', 'Choose another label or alias: this one has a meaning of its own in refs.'],
  'body.too_complex': [
    422,
    'The body holds too many values',
    'Split the request: at most 40,000 list elements, and 50,000 values outside of them.',
  ],
  'cursor.invalid': [422, 'The cursor is not valid', 'Begin again without `cursor`; a cursor belongs to one list.'],
  'text.invalid': [
    422,
    'A value cannot be stored as it is',
    'Remove NUL and halves of surrogate pairs; send numbers too large to be exact as text.',
  ],
  'answer.too_large': [422, 'The answer would be too large', 'Ask for fewer names at once: an answer holds at most 64 MiB.'],
  'content.too_large': [422, 'The content is too large', 'Split the prompt: 256 KiB a text, 1 MiB a version.'],
  'content.blocked': [
    422,
    'The content is refused by the project',
    "Remove what `errors` names, or set the project's `scan` to `warn`.",
  ],
  'include.not_found': [
    422,
    'An included prompt cannot be resolved',
    'Push it along, correct its name, or pin a version or release that exists.',
  ],
  'include.cycle': [422, 'Prompts include each other', 'Take one of the includes out.'],
  'include.limit': [422, 'A prompt includes too much', 'Include less: 10 levels, 100 prompts and 1 MiB at most.'],
  'include.unfit': [422, 'A prompt cannot be included', 'Include a text that was not purged; extend or import templates only.'],
  'prompt.duplicate': [422, 'A prompt is given twice', 'Give each name once in a push.'],
  'file.collision': [422, 'Files become the same prompt', 'Rename one of the two files.'],
  'file.invalid': [422, 'A file cannot be read', 'Correct the file or its path, as `detail` says.'],
  'file.unsupported': [
    422,
    'The file format is not supported',
    'Use `.txt`, `.md`, `.j2`, `.jinja`, `.yaml`, `.yml`, `.prompt.yml` or `.prompty`.',
  ],
  'template.syntax': [
    422,
    'The template cannot be parsed',
    'Correct the line, or push with `"template": "none"` if it is not Jinja.',
  ],
  'template.unsupported': [
    422,
    'The template uses what is not supported',
    'Leave the tag out; put included text into the prompt itself.',
  ],
  'template.too_complex': [422, 'The template is too complex', 'Nest less, or split the prompt.'],
  'template.runtime': [
    422,
    'The template cannot be rendered',
    'Correct the template or the variables; `detail` says what Jinja2 would.',
  ],
  'inputs.schema': [
    422,
    'The schema of the inputs is not supported',
    'Correct what `errors` names: `inputs` is a JSON Schema without `pattern` and remote references.',
  ],
  'inputs.invalid': [422, 'The variables break the schema of the inputs', 'Correct the variables that `errors` lists.'],
  'variables.missing': [
    422,
    'Variables are missing',
    'Give every variable that `errors` names, or render with `"strict": false`, which leaves them empty.',
  ],
  'source.invalid': [422, 'The source is not what it should be', 'Correct what `errors` names, in the source or its settings.'],
  'source.missing': [422, 'What the source names is not there', 'Check the address, the branch and the paths.'],
  'source.denied': [422, 'The source refuses access', 'Check the credentials, and what they may read.'],
  'source.blocked': [
    422,
    'The address may not be reached',
    'Use a public https address, or have the host added to `PROMPTSYNC_ALLOWED_HOSTS`.',
  ],
  'source.too_large': [422, 'The source is too large', 'Narrow it down with `include`, `exclude` or a sub-folder.'],
  'source.conflict': [422, 'Two sources bring the same prompt', 'Give one of the sources another `prefix`.'],
  'secrets.unavailable': [422, 'Secrets cannot be stored', 'Set `PROMPTSYNC_ENCRYPTION_KEYS`, or leave the credentials out.'],
  'path.invalid': [422, 'The PATH file is not valid', 'Correct the lines that `errors` names.'],
  'push.empty': [422, 'The push carries nothing', 'Give at least one of `prompts` and `files`; `DELETE` archives a prompt.'],
  'rate.exceeded': [
    429,
    'The limit of calls is used up',
    'Wait as many seconds as `Retry-After` says; `RateLimit-Policy` tells the limit.',
  ],
  'header.too_large': [431, 'The headers are too large', 'Send smaller headers, or a shorter URL.'],
  internal: [
    500,
    'Something went wrong on the server',
    'Give the `requestId` to who runs the server; read before you repeat a write.',
  ],
  'server.busy': [503, 'The server is overloaded', 'Try again after `Retry-After`; nothing was changed.'],
  'read.busy': [503, 'Too many reads are waiting', 'Try again after `Retry-After`.'],
  'write.busy': [503, 'Too many writes are waiting', 'Try again after `Retry-After`; nothing was changed.'],
  'source.unreachable': [503, 'The source does not answer', 'Try again after `Retry-After`; what was synced before is served.'],
  'source.limited': [503, 'The source limits our calls', 'Try again after `Retry-After`, or give a token with a higher limit.'],
  'source.changed': [503, 'The source changed while it was read', 'Try again: the next run reads it as it is then.'],
  'write.unknown': [
    503,
    'The outcome of the write is unknown',
    'Read the project, then repeat: it was stored wholly or not at all.',
  ],
  'database.unavailable': [503, 'The database is away', 'Try again after `Retry-After`; nothing was changed.'],
} as const satisfies Record<string, readonly [status: number, title: string, remedy: string]>

export type ErrorCode = keyof typeof errorTable

type Details = {
  cause?: unknown
  errors?: Finding[]
  /** Header fields of the answer, `Allow` or `Retry-After` say. */
  headers?: Record<string, string>
}

/** An error the caller is told of: `detail` names the thing and the remedy, and holds no secret. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly errors: Finding[] | undefined
  readonly headers: Record<string, string>

  constructor(code: ErrorCode, detail: string, { cause, errors, headers = {} }: Details = {}) {
    super(detail, { cause })
    this.name = 'AppError'
    this.code = code
    this.errors = errors
    this.headers = headers
  }

  get status(): number {
    return errorTable[this.code][0]
  }

  get title(): string {
    return errorTable[this.code][1]
  }
}

/** An error that may be gone soon: the answer says after how many seconds to try again. */
export function tryLater(code: ErrorCode, detail: string, seconds: number, cause?: unknown): AppError {
  return new AppError(code, detail, { cause, headers: { 'retry-after': String(seconds) } })
}
