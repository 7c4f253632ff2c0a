import { readMessages } from './messages.js'
import { isMapping } from './yaml.js'

type Mapping = Record<string, unknown>

/** The longest that a prompt takes; what is longer is kept in its metadata instead. */
const limits = { title: 200, description: 10_000, labels: 50, label: 100 }

/** Takes fields out of what a file says, so that nothing is read twice and whatever is left can be kept. */
export class Document {
  readonly #left: Map<string, unknown>
  readonly warnings: string[] = []
  readonly kept: Mapping = {}

  constructor(document: Mapping) {
    this.#left = new Map(Object.entries(document).filter(([, value]) => value !== null))
  }

  take(key: string): unknown {
    const value = this.#left.get(key)
    this.#left.delete(key)
    return value
  }

  /** Takes fields that belong in the metadata under their own names. */
  keep(...keys: string[]): void {
    for (const key of keys) {
      const value = this.take(key)
      if (value !== undefined) this.kept[key] = value
    }
  }

  /** What nobody has taken. */
  rest(): Mapping {
    return Object.fromEntries(this.#left)
  }
}

/** Title, description, labels, metadata and variants, as far as they are such: what is not is kept in the metadata. */
export function takeCommonFields(document: Document): Mapping {
  const metadata = document.take('metadata')
  if (metadata !== undefined && !isMapping(metadata)) document.kept.metadata = metadata
  const own = isMapping(metadata) ? { metadata } : {}
  const variants = document.take('variants')
  return defined({
    title: takeText(document, 'title', limits.title) ?? takeText(document, 'name', limits.title),
    description: takeText(document, 'description', limits.description),
    labels: document.take('labels') ?? takeLabels(document) ?? labelsOf(own.metadata?.tags),
    ...own,
    variants,
  })
}

/** The messages of a file; attributes that a message has no field for go to the metadata. */
export function takeMessages(document: Document, key: string): unknown {
  const { messages, attributes, warnings } = readMessages(document.take(key))
  if (attributes.length > 0) document.kept.messageAttributes = attributes
  document.warnings.push(...warnings)
  return messages
}

export function defined(fields: Mapping): Mapping {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** Tells of what points out of the file: nothing but the file itself is ever read. */
export function warnOfReferences(document: Mapping): string[] {
  const references = new Set<string>()
  const pending: unknown[] = [document]
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (typeof value === 'string' && /^\s*\$\{file:/i.test(value)) references.add(value.trim().slice(0, 100))
    else if (typeof value === 'object' && value !== null) pending.push(...Object.values(value).filter((child) => child != null))
  }
  return [...references].slice(0, 10).map((reference) => `${reference} is kept as text: other files are not read.`)
}

function takeText(document: Document, key: string, maxLength: number): string | undefined {
  const value = document.take(key)
  if (typeof value === 'string' && value.length <= maxLength) return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value !== undefined) {
    document.kept[key] = value
    document.warnings.push(`\`${key}\` is no text of at most ${maxLength} characters, so it is kept in metadata.`)
  }
  return undefined
}

function takeLabels(document: Document): string[] | undefined {
  const tags = document.take('tags')
  const labels = labelsOf(tags)
  if (!labels && tags !== undefined) document.kept.tags = tags
  return labels
}

function labelsOf(tags: unknown): string[] | undefined {
  const list = typeof tags === 'string' ? tags.split(',').map((tag) => tag.trim()) : tags
  if (!Array.isArray(list) || list.length === 0 || list.length > limits.labels) return undefined
  const labels = list.map((tag) => (typeof tag === 'number' ? String(tag) : tag))
  const isLabel = (label: unknown) => typeof label === 'string' && label.length > 0 && label.length <= limits.label
  return labels.every(isLabel) ? [...new Set(labels as string[])] : undefined
}
