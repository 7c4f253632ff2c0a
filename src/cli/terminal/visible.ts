// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about.
const steering = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Whoever wrote a prompt must not write to the terminal of whoever reads it: control characters are shown as `\x1b`. */
export function visible(text: string): string {
  return text.replaceAll(steering, (character) => {
    const code = character.charCodeAt(0)
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

/** JSON that steers no terminal, and means the same. */
export function visibleJson(json: string): string {
  return json.replaceAll(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
