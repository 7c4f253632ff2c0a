import { notSupported, positional, toIndex, valueError } from './arguments.js'
import { areEqual, lengthOf } from './iteration.js'
import type { Arguments, Context, Method } from './operations.js'
import { textMethods } from './text-methods.js'
import { Dict, isFloat, isInt, isList, Markup, numberOf, Range, Tuple, type Value, View } from './values.js'

/** The methods of Python's values that change nothing. Others of theirs are refused by their name, when they are called. */

type MethodOf<Self> = (context: Context, self: Self, given: Arguments) => Value

/** The method of a value, bound to it; undefined where Python has none of the name. */
export function methodOf(context: Context, value: Value, name: string): Method | undefined {
  if (typeof value === 'string' || value instanceof Markup) return bound(context, value, name, 'text', textMethods, refused.text)
  if (value instanceof Dict) return bound(context, value, name, 'dict', dictMethods, refused.dict)
  if (isList(value)) return bound(context, value, name, 'list', listMethods, refused.list)
  if (value instanceof Tuple) return bound(context, value, name, 'tuple', sequenceMethods, [])
  if (value instanceof Range) return bound(context, value, name, 'range', sequenceMethods, [])
  if (typeof value === 'boolean' || isInt(value)) return bound(context, value, name, 'int', intMethods, refused.int)
  if (isFloat(value)) return bound(context, value, name, 'float', floatMethods, refused.float)
  return undefined
}

const refused = {
  text: ['encode', 'maketrans', 'translate'],
  dict: ['clear', 'fromkeys', 'pop', 'popitem', 'setdefault', 'update'],
  list: ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'],
  int: ['as_integer_ratio', 'conjugate', 'from_bytes', 'to_bytes'],
  float: ['as_integer_ratio', 'conjugate', 'fromhex', 'hex'],
}

function bound<Self extends Value>(
  context: Context,
  self: Self,
  name: string,
  kind: string,
  known: ReadonlyMap<string, MethodOf<Self>>,
  refusals: readonly string[],
): Method | undefined {
  const method = known.get(name)
  if (method) return (args, kwargs) => method(context, self, { args, kwargs })
  if (!refusals.includes(name)) return undefined
  return () => {
    const changes = kind === 'dict' || kind === 'list'
    throw notSupported(
      changes
        ? `The method "${name}" would change a ${kind}. Templates cannot change values; make a new ${kind} instead.`
        : `The method "${name}" of a ${kind} is not supported.`,
    )
  }
}

const dictMethods: ReadonlyMap<string, MethodOf<Dict>> = new Map<string, MethodOf<Dict>>([
  ['items', (context, self, given) => view(context, 'dict_items', self, given)],
  ['keys', (context, self, given) => view(context, 'dict_keys', self, given)],
  ['values', (context, self, given) => view(context, 'dict_values', self, given)],
  [
    'get',
    (_context, self, given) => {
      const [key = null, fallback = null] = positional('get', given, 2, 1)
      const found = self.get(key)
      return found === undefined ? fallback : found
    },
  ],
  [
    'copy',
    (context, self, given) => {
      positional('copy', given, 0)
      context.budget.step(self.size)
      return Dict.from(self.entries())
    },
  ],
])

/** A view on a dict that can no longer change. */
function view(context: Context, kind: 'dict_items' | 'dict_keys' | 'dict_values', self: Dict, given: Arguments): View {
  positional(kind.slice(5), given, 0)
  context.budget.step(self.size)
  const item = ([key, value]: [Value, Value]) =>
    kind === 'dict_items' ? new Tuple([key, value]) : kind === 'dict_keys' ? key : value
  return new View(kind, Array.from(self.entries(), item))
}

type Sequence = Tuple | Range | readonly Value[]

const itemsOf = (self: Sequence): readonly Value[] => (isList(self) ? self : self.items)

const sequenceMethods: ReadonlyMap<string, MethodOf<Sequence>> = new Map<string, MethodOf<Sequence>>([
  [
    'count',
    (context, self, given) => {
      const [wanted = null] = positional('count', given, 1, 1)
      return itemsOf(self).filter((item) => areEqual(context, item, wanted)).length
    },
  ],
  ['index', indexInSequence],
])

const listMethods: ReadonlyMap<string, MethodOf<readonly Value[]>> = new Map<string, MethodOf<readonly Value[]>>([
  ...sequenceMethods,
  [
    'copy',
    (context, self, given) => {
      positional('copy', given, 0)
      context.budget.step(self.length)
      return [...self]
    },
  ],
])

function indexInSequence(context: Context, self: Sequence, given: Arguments): Value {
  const [wanted = null, start = 0, end] = positional('index', given, 3, 1)
  const items = itemsOf(self)
  const length = lengthOf(context, self)
  const [from, to] = [clamp(toIndex(start), length), end === undefined ? length : clamp(toIndex(end), length)]
  for (let at = from; at < to; at += 1) {
    if (areEqual(context, items[at] ?? null, wanted)) return at
  }
  throw valueError(self instanceof Tuple ? 'tuple.index(x): x not in tuple' : 'the value is not in list')
}

/** An index of Python's, negative ones from the end, within 0 and the length. */
export function clamp(index: number, length: number): number {
  return Math.min(length, Math.max(0, index < 0 ? index + length : index))
}

const bigOf = (self: Value) => BigInt(numberOf(self) ?? 0)

const intMethods: ReadonlyMap<string, MethodOf<Value>> = new Map<string, MethodOf<Value>>([
  ['bit_length', (context, self, given) => bitText(context, self, given, 'bit_length').length],
  ['bit_count', (context, self, given) => bitText(context, self, given, 'bit_count').split('1').length - 1],
])

/** What a bit takes, in characters that are copied. */
const costOfBit = 4

function bitText(context: Context, self: Value, given: Arguments, name: string): string {
  positional(name, given, 0)
  const big = bigOf(self)
  const text = big === 0n ? '' : (big < 0n ? -big : big).toString(2)
  context.budget.characters(costOfBit * text.length)
  return text
}

const floatMethods: ReadonlyMap<string, MethodOf<Value>> = new Map<string, MethodOf<Value>>([
  [
    'is_integer',
    (_context, self, given) => {
      positional('is_integer', given, 0)
      return Number.isInteger(numberOf(self))
    },
  ],
])

/** The methods of each type that has any, by their names. */
export const methods: Readonly<Record<string, { keys(): Iterable<string> }>> = {
  text: textMethods,
  dict: dictMethods,
  list: listMethods,
  'tuple and range': sequenceMethods,
  int: intMethods,
  float: floatMethods,
}
