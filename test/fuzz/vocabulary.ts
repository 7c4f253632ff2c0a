import { filters } from '../../src/lib/template/filters/filters.js'
import { tests } from '../../src/lib/template/filters/tests.js'
import { textMethods } from '../../src/lib/template/values/text-methods.js'

type Words = [string, ...string[]]

/** What objects of JavaScript and of Python have, and what a template must not find. */
export const oddNames: Words = [
  '__proto__',
  'constructor',
  'prototype',
  '__class__',
  '__globals__',
  '__subclasses__',
  '__init__',
  '__defineGetter__',
  '__lookupGetter__',
  'hasOwnProperty',
  'toString',
  'valueOf',
  'toJSON',
  'then',
  'length',
  'size',
  'polluted',
  '__fuzz_sentinel__',
]

/** Most of a template's names; all of them are given as variables as a rule. */
export const targetNames: Words = ['x', 'xs', 'user', 'docs', 'text', 'd', 'n', 'f', 'm', 'big', 'long']
export const names: Words = [...targetNames, ...targetNames, 'loop', 'caller']

export const globalNames: Words = [
  'range',
  'range',
  'dict',
  'namespace',
  'cycler',
  'joiner',
  'range',
  'dict',
  'namespace',
  'lipsum',
]

export const attributeNames: Words = [
  'title',
  'items',
  'name',
  'a',
  'b',
  'index',
  'index0',
  'first',
  'last',
  'next',
  'pos',
  'used',
]

export const methodNames: Words = [
  ...(Array.from(textMethods.keys()) as Words),
  ...['items', 'keys', 'values', 'get', 'copy', 'count', 'index', 'bit_length', 'is_integer', 'append', 'pop', 'update', 'cycle'],
  ...['changed', 'next', 'reset', 'encode', 'format_map', 'repeat', 'call', 'apply', 'bind', 'reduce', 'at', 'push', 'match'],
]

export const filterNames: Words = [...(Array.from(filters.keys()) as Words)]
export const testNames: Words = [...(Array.from(tests.keys()).filter((name) => /^\w+$/.test(name)) as Words)]

export const keywords: Words = [
  ...(['attribute', 'default', 'default_value', 'boolean', 'fill_with', 'linecount', 'slices', 'width', 'length'] as Words),
  ...['killwords', 'end', 'leeway', 'first', 'blank', 'case_sensitive', 'by', 'reverse', 'indent', 'precision', 'method', 'base'],
  ...[
    'sep',
    'maxsplit',
    'start',
    'd',
    's',
    'old',
    'new',
    'count',
    'binary',
    'autospace',
    'chars',
    'break_long_words',
    'wrapstring',
  ],
  ...['break_on_hyphens', 'tabsize', 'keepends', 'caller', 'a', 'b', '__proto__', 'constructor'],
]

export const numbers: Words = [
  ...([
    '0',
    '1',
    '2',
    '3',
    '-1',
    '10',
    '16',
    '100',
    '0.5',
    '1.0',
    '2.5',
    '-0.0',
    '255',
    '1000',
    '9999',
    '10000',
    '100000',
  ] as Words),
  ...['1000000', '500000000', '2147483648', '4294967296', '9007199254740993', '1e3', '1e15', '1e16', '1e22', '1e308', '1e400'],
  ...['5e-324', '0x7fffffffffffffff', '0b101', '0o17', '1_000_000', '123456789012345678901234567890', `1${'0'.repeat(400)}`],
]

export const strings: Words = [
  ...(["''", "'a'", '"b"', "','", "' '", "'title'", "'a b c'", "'a.b.0'", "'__proto__'", "'constructor'"] as Words),
  ...[
    "'a.__class__.b'",
    "'\\n'",
    "'\\t a\\n b'",
    "'\\x00'",
    "'\\ud83d'",
    "'\\U0001F600é'",
    "'ßİǅﬁ'",
    '\'<a href="x">&amp;&#x41;\'',
  ],
  ...["'%s'", "'%d %s'", "'%(a)s'", "'%999999999d'", "'%.999999f'", "'%*d'", "'%c'", "'%x'", "'%r'", "'%5.2e'", "'%%'"],
  ...[
    "'{}'",
    "'{0}'",
    "'{a}'",
    "'{0.__class__}'",
    "'{0[a]}'",
    "'{:>999999999}'",
    "'{!r:*^30}'",
    "'{:,.2f}'",
    "'{:{}}'",
    "'{0:x}'",
  ],
  ...["'012'", "'-7'", "'1e5'", "'0x1f'", "'nan'", "'inf'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'", "'(a+)+$'", "'$&$1'"],
  ...[
    "'Upper lower Title'",
    "'word '",
    "'lower'",
    "'upper'",
    "'odd'",
    "'length'",
    "'equalto'",
    "'join'",
    "'ceil'",
    "'floor'",
    "'value'",
  ],
]

export const tagWords: Words = [
  ...(['if', 'elif', 'else', 'endif', 'for', 'endfor', 'set', 'endset', 'macro', 'endmacro', 'call', 'endcall'] as Words),
  ...['filter', 'endfilter', 'block', 'endblock', 'with', 'endwith', 'raw', 'endraw', 'verbatim', 'endverbatim', 'include'],
  ...[
    'extends',
    'import',
    'from',
    'print',
    'do',
    'autoescape',
    'trans',
    'break',
    'continue',
    'debug',
    'switch',
    'ifAsync',
    'asyncEach',
  ],
]

export const tokens: Words = [
  ...(['{{', '}}', '{%', '%}', '{#', '#}', '{{-', '-}}', '{%-', '-%}', '{%+', '+%}', '{#-', '-#}', '{'] as Words),
  ...[
    '}',
    '(',
    ')',
    '[',
    ']',
    '|',
    '.',
    ',',
    ':',
    '~',
    '+',
    '-',
    '*',
    '/',
    '//',
    '%',
    '**',
    '==',
    '!=',
    '<',
    '<=',
    '>',
    '>=',
    '=',
  ],
  ...[
    ' ',
    '\n',
    '\r\n',
    '\t',
    '"',
    "'",
    '\\',
    '\0',
    '\u2028',
    '\ufeff',
    '\ud800',
    'é',
    '😀',
    '#',
    '##',
    '$',
    '@',
    '!',
    '&',
    '`',
    ';',
  ],
  ...['in', 'is', 'not', 'and', 'or', 'if', 'else', 'recursive', 'scoped', 'required', 'ignore missing', 'with context', 'as'],
  ...['without context', 'true', 'False', 'none', 'None', 'loop', 'self', 'super()', 'caller()', 'r/a/', '*a', '**a'],
  ...tagWords,
  ...['x', 'xs', 'user', 'docs', '0', '1', '99999999999', '1.5', "'a'"],
  ...['"part"', "'base'", 'part', 'upper', 'join', 'defined', '__proto__', 'constructor'],
]
