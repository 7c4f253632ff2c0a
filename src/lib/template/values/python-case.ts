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

const codeOf = (character: string) => character.codePointAt(0) ?? 0

/** Python's white space, which is not JavaScript's: the separators from 1c on and the next line, but no byte order mark. */
const spaces = codePoints('9-d,1c-20,85,a0,1680,2000-200a,2028-2029,202f,205f,3000')

export function isSpace(character: string): boolean {
  return spaces.has(codeOf(character))
}

const lineBreaks = codePoints('a-d,1c-1e,85,2028-2029')

export function isLineBreak(character: string): boolean {
  return lineBreaks.has(codeOf(character))
}

const digits = codePoints(
  'b2-b3,b9,1369-1371,19da,2070,2074-2079,2080-2089,2460-2468,2474-247c,2488-2490,24ea,24f5-24fd,24ff,2776-277e,2780-2788,' +
    '278a-2792,10a40-10a43,10e60-10e68,11052-1105a,1f100-1f10a',
)
/** Letters that are numbers. */
const numerals = codePoints(
  '3405,3483,382a,3b4d,4e00,4e03,4e07,4e09,4e5d,4e8c,4e94,4e96,4ebf-4ec0,4edf,4ee8,4f0d,4f70,5104,5146,5169,516b,516d,5341,' +
    '5343-5345,534c,53c1-53c4,56db,58f1,58f9,5e7a,5efe-5eff,5f0c-5f0e,5f10,62fe,634c,67d2,6f06,7396,767e,8086,842c,8cae,8cb3,' +
    '8d30,9621,9646,964c,9678,96f6,f96b,f973,f978,f9b2,f9d1,f9d3,f9fd,20001,20064,200e2,20121,2092a,20983,2098c,2099c,20aea,' +
    '20afd,20b19,22390,22998,23b1b,2626d,2f890',
)

const decimalClass = /^\p{Nd}$/u
const letterClass = /^\p{L}$/u
const numberClass = /^\p{N}$/u
const lowerClass = /^\p{Lowercase}$/u
const upperClass = /^\p{Uppercase}$/u
const titleClass = /^\p{Lt}$/u
const casedClass = /^\p{Cased}$/u
const ignorableClass = /^\p{Case_Ignorable}$/u

export const isDecimal = (character: string) => decimalClass.test(character)
export const isDigit = (character: string) => isDecimal(character) || digits.has(codeOf(character))
export const isNumeric = (character: string) => numberClass.test(character) || numerals.has(codeOf(character))
export const isLetter = (character: string) => letterClass.test(character)
export const isAlphanumeric = (character: string) => isLetter(character) || isNumeric(character)
export const isLowerLetter = (character: string) => lowerClass.test(character)
/** Title case counts as upper case here, as it does for `isupper` and `istitle`. */
export const isUpperLetter = (character: string) => upperClass.test(character) || titleClass.test(character)

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
  const [first = '', ...others] = character.toUpperCase()
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

export function capitalize(text: string): string {
  const characters = Array.from(text)
  return characters.map((character, index) => (index === 0 ? titleCharacter(character) : lowerAt(characters, index))).join('')
}

/** `str.title`: a word begins wherever a letter follows something that is none. */
export function title(text: string): string {
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

/** `islower` and `isupper`: at least one letter has a case, and none the other. */
export function isAllLower(text: string): boolean {
  let isFound = false
  for (const character of text) {
    if (isUpperLetter(character)) return false
    isFound ||= isLowerLetter(character)
  }
  return isFound
}

export function isAllUpper(text: string): boolean {
  let isFound = false
  for (const character of text) {
    if (isLowerLetter(character) || titleClass.test(character)) return false
    isFound ||= upperClass.test(character)
  }
  return isFound
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
