import type { Context } from './operations.js'

/**
 * Finding a text in another one. The engine's search can take the product of both lengths; where it threatens to, a table of
 * the needle's borders is used instead, which takes their sum and is paid for. The callers pay for going through the text.
 */

/** Of these lengths the engine's search is fast whatever the text is: backwards it compares all of it at each unit. */
const shortNeedle = { forward: 16, backward: 4 }
/** Beginnings that were no occurrence after all, before the table is made. */
const mostAttempts = 8
/** What a unit takes with the table, in characters that are copied. */
const tableCost = 2

/** The first occurrence at or after a unit, or -1. */
export function findText(context: Context, text: string, needle: string, from = 0): number {
  if (needle.length <= shortNeedle.forward) return text.indexOf(needle, from)
  const beginning = needle.slice(0, shortNeedle.forward)
  let at = text.indexOf(beginning, from)
  for (let attempt = 0; at !== -1 && attempt < mostAttempts; attempt += 1) {
    if (at + needle.length > text.length) return -1
    context.budget.step(costOfComparing(needle))
    if (text.startsWith(needle, at)) return at
    at = text.indexOf(beginning, at + 1)
  }
  return at === -1 ? -1 : new Needle(context, needle, 'forward').find(text, at, text.length)
}

/** The last occurrence that ends at or before a unit, or -1. */
export function findLastText(context: Context, text: string, needle: string, end = text.length): number {
  if (needle.length > end) return -1
  if (needle.length <= shortNeedle.backward) return text.lastIndexOf(needle, end - needle.length)
  const length = shortNeedle.backward
  const offset = needle.length - length
  const ending = needle.slice(offset)
  let at = text.lastIndexOf(ending, end - length)
  for (let attempt = 0; at !== -1 && attempt < mostAttempts; attempt += 1) {
    if (at < offset) return -1
    context.budget.step(costOfComparing(needle))
    if (text.startsWith(needle, at - offset)) return at - offset
    at = at === 0 ? -1 : text.lastIndexOf(ending, at - 1)
  }
  return at === -1 ? -1 : new Needle(context, needle, 'backward').find(text, 0, at + length)
}

/** What comparing texts of this length takes, in steps. */
export function costOfComparing({ length }: { length: number }): number {
  return Math.floor(length / 256)
}

/** All occurrences that do not overlap, as units, at most `limit`; each costs a part of a step. The needle is not empty. */
export function occurrences(context: Context, text: string, needle: string, limit: number): number[] {
  const found: number[] = []
  let at = findText(context, text, needle)
  while (at !== -1 && found.length < limit) {
    if (found.length % occurrencesOfStep === 0) context.budget.step()
    found.push(at)
    at = findText(context, text, needle, at + needle.length)
  }
  return found
}

/** The same from the end. */
export function occurrencesFromEnd(context: Context, text: string, needle: string, limit: number): number[] {
  const found: number[] = []
  let at = findLastText(context, text, needle)
  while (at !== -1 && found.length < limit) {
    if (found.length % occurrencesOfStep === 0) context.budget.step()
    found.push(at)
    at = findLastText(context, text, needle, at)
  }
  return found
}

const occurrencesOfStep = 4

type Direction = 'forward' | 'backward'

/** A needle with, for each of its units, the length of the longest proper beginning that also ends there. */
class Needle {
  readonly #context: Context
  readonly #needle: string
  readonly #direction: Direction
  readonly #borders: Uint32Array

  constructor(context: Context, needle: string, direction: Direction) {
    context.budget.characters(tableCost * needle.length)
    this.#context = context
    this.#direction = direction
    this.#needle = needle
    const borders = new Uint32Array(needle.length)
    for (let at = 1, length = 0; at < needle.length; at += 1) {
      const unit = this.#unit(needle, at, needle.length)
      while (length > 0 && unit !== this.#unit(needle, length, needle.length)) length = borders[length - 1] ?? 0
      if (unit === this.#unit(needle, length, needle.length)) length += 1
      borders[at] = length
    }
    this.#borders = borders
  }

  find(text: string, from: number, end: number): number {
    const needle = this.#needle
    const found = this.#find(text, from, end)
    const seen = found === -1 ? end - from : this.#direction === 'forward' ? found + needle.length - from : end - found
    this.#context.budget.characters(tableCost * seen)
    return found
  }

  #find(text: string, from: number, end: number): number {
    const needle = this.#needle
    for (let at = 0, length = 0; at < end - from; at += 1) {
      const unit = this.#direction === 'forward' ? text.charCodeAt(from + at) : text.charCodeAt(end - 1 - at)
      while (length > 0 && unit !== this.#unit(needle, length, needle.length)) length = this.#borders[length - 1] ?? 0
      if (unit === this.#unit(needle, length, needle.length)) length += 1
      if (length === needle.length) return this.#direction === 'forward' ? from + at - length + 1 : end - 1 - at
    }
    return -1
  }

  #unit(text: string, at: number, end: number): number {
    return text.charCodeAt(this.#direction === 'forward' ? at : end - 1 - at)
  }
}
