/** What went wrong at one place of the input: a path such as `prompts[3].name`, and what to do there. */
export type Finding = { path: string; message: string }

/** Every error code there is, with its HTTP status and title. Codes are stable: clients match on them. */
export const errorTable = {
  'body.malformed': [400, 'The body cannot be parsed'],
  'body.encoding': [400, 'The body is not UTF-8'],
  'body.nesting': [400, 'The body is nested too deeply'],
  'request.malformed': [400, 'The request cannot be parsed'],
  'project.conflict': [400, 'The project is named twice'],
  'auth.required': [401, 'A key is needed'],
  'auth.invalid': [401, 'The key is not known'],
  'auth.expired': [401, 'The key has expired'],
  'auth.revoked': [401, 'The key was revoked'],
  'scope.missing': [403, 'The key lacks a scope'],
  'scope.global': [403, 'A global admin key is needed'],
  'route.not_found': [404, 'No such route'],
  'project.not_found': [404, 'No such project'],
  'prompt.not_found': [404, 'No such prompt'],
  'prompt.archived': [404, 'The prompt is archived'],
  'prompt.not_in_release': [404, 'The release does not hold the prompt'],
  'ref.not_found': [404, 'No such ref'],
  'release.not_found': [404, 'No such release'],
  'alias.not_found': [404, 'No such alias'],
  'canary.not_found': [404, 'No canary is running'],
  'key.not_found': [404, 'No such key'],
  'method.not_allowed': [405, 'The method is not allowed'],
  'representation.unavailable': [406, 'No acceptable representation'],
  'request.timeout': [408, 'The request took too long to arrive'],
  'project.exists': [409, 'The project exists'],
  'label.taken': [409, 'The label is taken'],
  'alias.taken': [409, 'The alias is taken'],
  'commit.ambiguous': [409, 'The commit is ambiguous'],
  'canary.same_target': [409, 'The canary is the target already'],
  'canary.active': [409, 'A canary is running'],
  'rollback.empty': [409, 'Nothing to roll back to'],
  'alias.moved': [412, 'The alias has moved'],
  'body.too_large': [413, 'The body is too large'],
  'body.unsupported_type': [415, 'The body is not JSON'],
  'validation.failed': [422, 'The input is not valid'],
  'name.reserved': [422, 'The name is reserved'],
  'body.too_complex': [422, 'The body holds too many values'],
  'cursor.invalid': [422, 'The cursor is not valid'],
  'text.invalid': [422, 'A value cannot be stored as it is'],
  'content.too_large': [422, 'The content is too large'],
  'content.blocked': [422, 'The content is refused by the project'],
  'prompt.duplicate': [422, 'A prompt is given twice'],
  'file.collision': [422, 'Files become the same prompt'],
  'file.invalid': [422, 'A file cannot be read'],
  'file.unsupported': [422, 'The file format is not supported'],
  'template.syntax': [422, 'The template cannot be parsed'],
  'template.unsupported': [422, 'The template uses what is not supported'],
  'template.too_complex': [422, 'The template is too complex'],
  'push.empty': [422, 'The push carries nothing'],
  'header.too_large': [431, 'The headers are too large'],
  internal: [500, 'Something went wrong on the server'],
  'write.busy': [503, 'Too many writes are waiting'],
  'write.unknown': [503, 'The outcome of the write is unknown'],
  'database.unavailable': [503, 'The database is away'],
} as const satisfies Record<string, readonly [status: number, title: string]>

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
