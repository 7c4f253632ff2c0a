import { substituted } from './python-text.js'

/** As Python prints a float: the shortest digits, an exponent below 1e-4 and from 1e16 on. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (Object.is(value, -0)) return '-0.0'
  const magnitude = Math.abs(value)
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e16)) {
    const [digits = '', exponent = '0'] = value.toExponential().split('e')
    const power = Number(exponent)
    return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  }
  const text = String(value)
  const plain = text.includes('e') ? BigInt(value).toString() : text
  return plain.includes('.') ? plain : `${plain}.0`
}

/** Told of what a text costs before it is made. */
export type Charge = (characters: number) => void

const named = [
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
] as const
const plain = /^[ !#-&(-[\]-~]*$/
const unprintables = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu

/** What escaping one character takes, in characters that are copied. */
const escapeCost = 10

/** Python's quotes and escapes: single quotes unless the text has those and no double ones. */
export function reprString(text: string, charge: Charge = () => undefined): string {
  if (plain.test(text)) return `'${text}'`
  charge(3 * text.length)
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  let result = substituted(text, '\\', '\\\\')
  result = substituted(result, quote, `\\${quote}`)
  for (const [character, name] of named) result = substituted(result, character, name)
  result = result.replace(unprintables, (character) => {
    charge(escapeCost)
    return escaped(character)
  })
  return quote + result + quote
}

const unprintable = new RegExp(unprintables.source, 'u')

/** Whether all characters of a text can be printed as they are. */
export function isPrintable(text: string): boolean {
  return !unprintable.test(text)
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`
}

const notAscii = /[^\0-\x7f]/gu

/** `ascii()` of what `repr` gave. */
export function asciiOf(text: string, charge: Charge): string {
  return text.replace(notAscii, (character) => {
    charge(escapeCost)
    return escaped(character)
  })
}
