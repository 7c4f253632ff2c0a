/** Python's rules of letters: full case mappings with title case, the final sigma, and the classes `isalpha`, `isdigit` and so on. */

/** Code points as `b5,13a0-13f5`, as hexadecimal ranges. */
function codePoints(ranges: string): ReadonlySet<number> {
  const all = new Set<number>()
  for (const range of ranges.split(',')) {
    const [from = '', to = from] = range.split('-')
    for (let code = Number.parseInt(from, 16); code <= Number.parseInt(to, 16); code += 1) all.add(code)
  }
  return all
}

/** The same as a part of a class of a regular expression. */
function classPart(ranges: string): string {
  return ranges.replace(/[0-9a-f]+/g, (code) => `\\u{${code}}`).replaceAll(',', '')
}

const codeOf = (character: string) => character.codePointAt(0) ?? 0

/** Python's white space, which is not JavaScript's: the separators from 1c on and the next line, but no byte order mark. */
const spaceRanges = '9-d,1c-20,85,a0,1680,2000-200a,2028-2029,202f,205f,3000'
/** By their code points: a one for each, as far as there are any. */
const spaces = new Uint8Array(0x3001)
for (const code of codePoints(spaceRanges)) spaces[code] = 1
export const spaceClass = classPart(spaceRanges)

export const lineBreakClass = classPart('a-d,1c-1e,85,2028-2029')

/** Of a code unit: no white space is longer. */
export function isSpaceUnit(unit: number): boolean {
  return spaces[unit] === 1
}

export function isSpace(character: string): boolean {
  return isSpaceUnit(codeOf(character))
}

const digitRanges =
  'b2-b3,b9,1369-1371,19da,2070,2074-2079,2080-2089,2460-2468,2474-247c,2488-2490,24ea,24f5-24fd,24ff,2776-277e,2780-2788,' +
  '278a-2792,10a40-10a43,10e60-10e68,11052-1105a,1f100-1f10a'
/** Letters that are numbers. */
const numeralRanges =
  '3405,3483,382a,3b4d,4e00,4e03,4e07,4e09,4e5d,4e8c,4e94,4e96,4ebf-4ec0,4edf,4ee8,4f0d,4f70,5104,5146,5169,516b,516d,5341,' +
  '5343-5345,534c,53c1-53c4,56db,58f1,58f9,5e7a,5efe-5eff,5f0c-5f0e,5f10,62fe,634c,67d2,6f06,7396,767e,8086,842c,8cae,8cb3,' +
  '8d30,9621,9646,964c,9678,96f6,f96b,f973,f978,f9b2,f9d1,f9d3,f9fd,20001,20064,200e2,20121,2092a,20983,2098c,2099c,20aea,' +
  '20afd,20b19,22390,22998,23b1b,2626d,2f890'
/** Letters and numbers: the numerals that are letters are among the former. */
const alphanumericClass = '\\p{L}\\p{N}'

const lowerClass = /^\p{Lowercase}$/u
const upperClass = /^\p{Uppercase}$/u
const titleClass = /^\p{Lt}$/u
const casedClass = /^\p{Cased}$/u
const ignorableClass = /^\p{Case_Ignorable}$/u

/** Whether a text is not empty and all of its characters are of a class. */
const consistsOf = (characters: string) => {
  const form = new RegExp(`^[${characters}]+$`, 'u')
  return (text: string) => form.test(text)
}

export const isDecimal = consistsOf('\\p{Nd}')
export const isDigit = consistsOf(`\\p{Nd}${classPart(digitRanges)}`)
export const isNumeric = consistsOf(`\\p{N}${classPart(numeralRanges)}`)
export const isAlphabetic = consistsOf('\\p{L}')
export const isAlphanumeric = consistsOf(alphanumericClass)
export const isAllSpace = consistsOf(spaceClass)
/** The runs of what Python takes for the characters of words. */
export const words = () => new RegExp(`[_${alphanumericClass}]+`, 'gu')

const isLowerLetter = (character: string) => lowerClass.test(character)
/** Title case counts as upper case here, as it does for `istitle`. */
const isUpperLetter = (character: string) => upperClass.test(character) || titleClass.test(character)

const digraphs = new Map([
  ...['Ǆ', 'ǅ', 'ǆ'].map((letter) => [letter, 'ǅ'] as const),
  ...['Ǉ', 'ǈ', 'ǉ'].map((letter) => [letter, 'ǈ'] as const),
  ...['Ǌ', 'ǋ', 'ǌ'].map((letter) => [letter, 'ǋ'] as const),
  ...['Ǳ', 'ǲ', 'ǳ'].map((letter) => [letter, 'ǲ'] as const),
  ['ŉ', 'ʼN'] as const,
  ...['\u1fb3', '\u1fbc'].map((letter) => [letter, '\u1fbc'] as const),
  ...['\u1fc3', '\u1fcc'].map((letter) => [letter, '\u1fcc'] as const),
  ...['\u1ff3', '\u1ffc'].map((letter) => [letter, '\u1ffc'] as const),
])

/** The title case of one character: `ß` is `Ss`, Georgian letters stay. */
export function titleCharacter(character: string): string {
  const code = codeOf(character)
  if (code < 0x80) return character.toUpperCase()
  const known = digraphs.get(character)
  if (known) return known
  if (code >= 0x10d0 && code <= 0x10ff) return character
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCodePoint(code | 8)
  const upper = character.toUpperCase()
  if (upper.length === character.length) return upper
  const [first = '', ...others] = upper
  // A iota after its letter stays the small one below it.
  return first + others.map((other) => (other === 'Ι' ? '\u0345' : other.toLowerCase())).join('')
}

/** One character of a text in lower case; the last sigma of a word has its own form. */
function lowerAt(characters: readonly string[], index: number): string {
  const character = characters[index] ?? ''
  if (character !== 'Σ') return character.toLowerCase()
  let before = index - 1
  while (before >= 0 && ignorableClass.test(characters[before] ?? '')) before -= 1
  if (!casedClass.test(characters[before] ?? '')) return 'σ'
  let after = index + 1
  while (after < characters.length && ignorableClass.test(characters[after] ?? '')) after += 1
  return casedClass.test(characters[after] ?? '') ? 'σ' : 'ς'
}

const ascii = /^[\0-\x7f]*$/

/** JavaScript knows the last sigma as well. */
export function capitalize(text: string): string {
  if (text === '') return ''
  const first = String.fromCodePoint(codeOf(text))
  return titleCharacter(first) + text.toLowerCase().slice(first.toLowerCase().length)
}

/** `str.title`: a word begins wherever a letter follows something that is none. */
export function title(text: string): string {
  if (ascii.test(text)) return text.toLowerCase().replace(/[a-z]+/g, (word) => word.slice(0, 1).toUpperCase() + word.slice(1))
  const characters = Array.from(text)
  let isInWord = false
  return characters
    .map((character, index) => {
      const result = isInWord ? lowerAt(characters, index) : titleCharacter(character)
      isInWord = casedClass.test(character)
      return result
    })
    .join('')
}

export function swapCase(text: string): string {
  if (ascii.test(text)) return text.replace(/[a-z]+|[A-Z]+/g, (run) => (run < 'a' ? run.toLowerCase() : run.toUpperCase()))
  const characters = Array.from(text)
  return characters
    .map((character, index) => {
      if (upperClass.test(character)) return lowerAt(characters, index)
      return isLowerLetter(character) ? character.toUpperCase() : character
    })
    .join('')
}

/** What `casefold` does not only put in lower case. */
const folded = codePoints(
  'b5,df,149,17f,1f0,345,390,3b0,3c2,3d0-3d1,3d5-3d6,3f0-3f1,3f5,587,1c80-1c88,1e96-1e9b,1f50,1f52,1f54,1f56,1f80-1faf,' +
    '1fb2-1fb4,1fb6-1fb7,1fbc,1fbe,1fc2-1fc4,1fc6-1fc7,1fcc,1fd2-1fd3,1fd6-1fd7,1fe2-1fe4,1fe6-1fe7,1ff2-1ff4,1ff6-1ff7,' +
    '1ffc,fb00-fb06,fb13-fb17',
)
/** Cherokee folds to its capitals. */
const foldedUp = codePoints('13a0-13f5,13f8-13fd,ab70-abbf')

export function caseFold(text: string): string {
  if (ascii.test(text)) return text.toLowerCase()
  let result = ''
  for (const character of text) {
    const code = codeOf(character)
    if (code === 0x1e9e) result += 'ss'
    else if (foldedUp.has(code)) result += character.toUpperCase()
    else if (folded.has(code)) for (const letter of character.toUpperCase()) result += letter.toLowerCase()
    else result += character.toLowerCase()
  }
  return result
}

const notLower = /[\p{Uppercase}\p{Lt}]/u
const notUpper = /[\p{Lowercase}\p{Lt}]/u
const anyLower = /\p{Lowercase}/u
const anyUpper = /\p{Uppercase}/u

/** `islower` and `isupper`: at least one letter has a case, and none the other. */
export function isAllLower(text: string): boolean {
  return anyLower.test(text) && !notLower.test(text)
}

export function isAllUpper(text: string): boolean {
  return anyUpper.test(text) && !notUpper.test(text)
}

export function isTitle(text: string): boolean {
  let isFound = false
  let isInWord = false
  for (const character of text) {
    const isUpper = isUpperLetter(character)
    if (isUpper ? isInWord : isLowerLetter(character) && !isInWord) return false
    isInWord = isUpper || isLowerLetter(character)
    isFound ||= isInWord
  }
  return isFound
}
