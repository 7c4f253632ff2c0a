import { notSupported } from '../values/arguments.js'
import type { Context } from '../values/operations.js'

/** The references to characters in HTML, but for most of the two thousand rare names: those are refused. */

/** Known without a semicolon, too: Latin 1 from the code point a0 on, and those of HTML itself. */
const latin =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot ' +
  'cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml ' +
  'Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig ' +
  'agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ' +
  'ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml'
const short = new Map([
  ...latin.split(' ').map((name, index) => [name, String.fromCodePoint(0xa0 + index)] as const),
  ...Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', AMP: '&', LT: '<', GT: '>', QUOT: '"', COPY: '©', REG: '®' }),
])
const withSemicolon = new Map(
  Object.entries({
    apos: "'",
    hellip: '…',
    mdash: '—',
    ndash: '–',
    lsquo: '‘',
    rsquo: '’',
    ldquo: '“',
    rdquo: '”',
    sbquo: '‚',
  }).concat(
    Object.entries({
      bdquo: '„',
      bull: '•',
      trade: '™',
      euro: '€',
      lsaquo: '‹',
      rsaquo: '›',
      dagger: '†',
      prime: '′',
      larr: '←',
    }),
    Object.entries({
      rarr: '→',
      uarr: '↑',
      darr: '↓',
      harr: '↔',
      minus: '−',
      le: '≤',
      ge: '≥',
      ne: '≠',
      infin: '∞',
      ensp: '\u2002',
    }),
    Object.entries({ emsp: '\u2003', thinsp: '\u2009', zwnj: '\u200c', zwj: '\u200d', check: '✓', star: '☆', hearts: '♥' }),
  ),
)

/** What a reference takes, and each beginning of its name that is looked up, in characters that are copied. */
const costOfReference = 32
const costOfLooking = 8

const reference = /&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|([^\t\n\f <&#;]{1,32})(;?))/g

export function unescapeHtml(context: Context, text: string): string {
  // The engine finds all references before the first of them is replaced.
  context.budget.characters(costOfReference * (text.split('&').length - 1))
  return text.replace(reference, (whole, decimal?: string, hexadecimal?: string, name?: string, end?: string) => {
    context.budget.characters(costOfLooking * (name?.length ?? 0))
    if (name !== undefined) return named(whole, name, end ?? '')
    return numbered(decimal !== undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hexadecimal ?? '', 16))
  })
}

function named(whole: string, name: string, end: string): string {
  const known = short.get(name) ?? (end ? withSemicolon.get(name) : undefined)
  if (known !== undefined) return known
  // HTML takes the longest known beginning of an unknown name.
  if (end && /^[A-Za-z][A-Za-z0-9]+$/.test(name)) throw notSupported(`The HTML entity "${whole}" is not supported.`)
  for (let length = name.length - 1; length > 1; length -= 1) {
    const beginning = short.get(name.slice(0, length))
    if (beginning !== undefined) return beginning + name.slice(length) + end
  }
  return whole
}

/** What the control characters from 80 on mean: those of Windows. */
const windows = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'

function numbered(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd'
  if (code >= 0x80 && code <= 0x9f) return windows[code - 0x80] ?? ''
  if (code === 0x0d) return '\r'
  const isControl = code < 0x20 ? ![0x09, 0x0a, 0x0c].includes(code) : code === 0x7f
  const isNoCharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe
  return isControl || isNoCharacter ? '' : String.fromCodePoint(code)
}
