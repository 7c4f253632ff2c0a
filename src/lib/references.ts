import type { Body, VersionContent } from './content-hash.js'
import { type Reference, templateReferences } from './template/composition.js'
import { parseTemplate } from './template/parse.js'
import { joinPath } from './text.js'

/** A text of a version, with its path below the prompt: `variants[0].messages[2].content`. */
export type VersionText = { path: string; text: string }

/** The body of a version and those of its variants, with their paths below the prompt: `variants[0]`. */
export function bodiesOf({ content, messages, variants }: VersionContent): { path: string; body: Body }[] {
  return [{ path: '', body: { content, messages } }, ...variants.map((body, index) => ({ path: `variants[${index}]`, body }))]
}

/** Every text of a version, those of its variants last. */
export function textsOf(version: VersionContent): VersionText[] {
  return bodiesOf(version).flatMap(({ path, body }) => textsOfBody(body, path))
}

/** The texts of a body that is at `path`; placeholders have none. */
export function textsOfBody({ content, messages }: Body, path: string): VersionText[] {
  if (!messages) return [{ path: joinPath(path, 'content'), text: content ?? '' }]
  return messages.flatMap((message, index) =>
    'placeholder' in message ? [] : { path: joinPath(path, `messages[${index}].content`), text: message.content },
  )
}

/** A place of a version that names other prompts. */
export type VersionReference = Reference & { path: string }

/** What the templates of a version name. Throws `TemplateError` for one that is none; what was pushed has been checked. */
export function versionReferences(version: VersionContent): VersionReference[] {
  if (version.template === 'none') return []
  return textsOf(version).flatMap(({ path, text }) =>
    templateReferences(parseTemplate(text)).map((reference) => ({ ...reference, path })),
  )
}
