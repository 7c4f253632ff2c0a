import type t from 'tap'
import type { Answer } from './service.js'

type Tap = typeof t

/** Checks that a call was refused with this status and code. */
export function refused(t: Pick<Tap, 'equal'>, answer: Answer, status: number, code: string): void {
  t.equal(answer.status, status, answer.body.detail)
  t.equal(answer.body.code, code, answer.body.detail)
}

/** Checks some fields of a body, each exactly. */
export function shows(t: Pick<Tap, 'strictSame'>, body: Record<string, unknown>, fields: Record<string, unknown>): void {
  t.strictSame(Object.fromEntries(Object.keys(fields).map((field) => [field, body[field]])), fields)
}
