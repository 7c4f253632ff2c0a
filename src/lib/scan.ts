/** What looks like an attempt on whoever shows a prompt in a browser. Linear in the text. */
const patterns: readonly { name: string; pattern: RegExp }[] = [
  { name: 'a <script> tag', pattern: /<script/i },
  { name: 'a javascript: URL', pattern: /javascript:/i },
  { name: 'an event-handler attribute', pattern: /<[a-z][^<>]{0,1000}?[\s"'/]on[a-z]{3,30}\s{0,20}=/i },
]

/** Names what was found in a text and the line (from 1) where it first stands. Pure. */
export function scanContent(text: string): { name: string; line: number }[] {
  return patterns.flatMap(({ name, pattern }) => {
    const match = pattern.exec(text)
    return match ? [{ name, line: lineAt(text, match.index) }] : []
  })
}

function lineAt(text: string, index: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line += 1
  return line
}
