import type { components, operations } from '../../generated/api.js'

/** What an operation answers when it worked. */
export type AnswerOf<Operation extends keyof operations> = operations[Operation]['responses'] extends {
  200: { content: { 'application/json': infer Body } }
}
  ? Body
  : operations[Operation]['responses'] extends { 201: { content: { 'application/json': infer Body } } }
    ? Body
    : never

export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name]
