const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** What means something in HTML, or is not seen, or ends or turns a line. */
const special = /[&<>"'\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu

/**
 * Joiners shape letters and emoji, and so do two selectors of variations; some signs of Arabic and Syriac count as formatting
 * though they can be seen.
 */
const plain = /^(?:\t|\u200c|\u200d|\ufe0e|\ufe0f|[\u0600-\u0605\u06dd\u070f\u08e2])$/u

/**
 * Text as HTML, safe in elements and in quoted attributes. Characters that would not be seen, or that turn the direction of
 * others, are put in words: `⟨U+202E⟩`. A tab stays. Pure.
 */
export function escapeText(text: string): string {
  return text.replace(special, escapeRun)
}

/** Runs are escaped at once, each kind of character in them only once: a text may hold nothing else. */
function escapeRun(run: string): string {
  const known = new Map<string, string>()
  const escaped: string[] = []
  for (const character of run) {
    let told = known.get(character)
    if (told === undefined) {
      told = entities[character] ?? (plain.test(character) ? character : `⟨U+${codeOf(character)}⟩`)
      known.set(character, told)
    }
    escaped.push(told)
  }
  return escaped.join('')
}

function codeOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
}
