import { z } from 'zod'
import { digestOf, sha256 } from './digests.js'
import { type ListedFile, maxRevisionLength, type Revision } from './provider.js'

/** A file as it was answered last, and how to ask whether it still is. */
export type Known = ListedFile & { url: string; sizeBytes: number; etag: string | null; lastModified: string | null }

const Kept = z.tuple([
  z.string().describe('the hash, as short as can be'),
  z.number().int().nonnegative(),
  z.string().describe('of which URL'),
  z.string().nullable().describe('ETag'),
  z.string().nullable().describe('Last-Modified'),
])
const Saved = z.strictObject({ digest: z.string(), known: z.record(z.string(), Kept) })
export type Saved = z.infer<typeof Saved>

const nothing: Saved = { digest: '', known: {} }
const maxValidatorLength = 200

/** What a revision says; nothing where it is none of ours. Pure. */
export function readRevision(revision: Revision | null): Saved {
  try {
    return Saved.safeParse(JSON.parse(revision ?? 'null')).data ?? nothing
  } catch (error) {
    if (error instanceof SyntaxError) return nothing
    throw error
  }
}

/** Keeps the validators of as many files as there is room for: the others are asked for without, and compared by hash. Pure. */
export function writeRevision(files: readonly Known[]): Revision {
  const known: [string, z.infer<typeof Kept>][] = []
  const digest = digestOf(files)
  let left = maxRevisionLength - digest.length - 100
  for (const { path, hash, sizeBytes, url, etag, lastModified } of files) {
    if (etag === null && lastModified === null) continue
    const kept: z.infer<typeof Kept> = [recoded(hash, 'hex', 'base64url'), sizeBytes, keyOf(url), etag, lastModified]
    left -= JSON.stringify([path, kept]).length + 1
    if (left < 0) break
    known.push([path, kept])
  }
  return JSON.stringify({ digest, known: Object.fromEntries(known) })
}

/** The file as it is known by a revision, if it is still that of the same URL. Pure. */
export function findKnown({ known }: Saved, path: string, url: string): Known | null {
  const [hash, sizeBytes, key, etag, lastModified] = Object.hasOwn(known, path) ? (known[path] ?? []) : []
  if (hash === undefined || sizeBytes === undefined || key !== keyOf(url)) return null
  return { path, url, hash: recoded(hash, 'base64url', 'hex'), sizeBytes, etag: etag ?? null, lastModified: lastModified ?? null }
}

/**
 * How to ask for it next time. A date stands for a whole second, in which the file may change again, so that one counts only if
 * the answer was given later. Pure.
 */
export function validatorsOf(headers: Record<string, string>): Pick<Known, 'etag' | 'lastModified'> {
  const { etag, date, 'last-modified': modified } = headers
  if (etag !== undefined && etag.length <= maxValidatorLength) return { etag, lastModified: null }
  const isSettled = Date.parse(date ?? '') - Date.parse(modified ?? '') >= 2_000
  return {
    etag: null,
    lastModified: modified !== undefined && modified.length <= maxValidatorLength && isSettled ? modified : null,
  }
}

const keyOf = (url: string): string => sha256(url).slice(0, 12)

const recoded = (text: string, from: BufferEncoding, to: BufferEncoding): string => Buffer.from(text, from).toString(to)
