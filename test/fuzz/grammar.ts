import type { Choices } from './choices.js'
import {
  attributeNames,
  filterNames,
  globalNames,
  keywords,
  methodNames,
  names,
  numbers,
  oddNames,
  strings,
  targetNames,
  testNames,
} from './vocabulary.js'

/** The names of the prompts that templates include, extend and import. */
export const partNames: readonly [string, ...string[]] = ['part', 'base', 'macros', 'shared/footer', 'plain']

const maxDepth = 6

const operators: readonly [string, ...string[]] = [
  '+',
  '-',
  '*',
  '/',
  '//',
  '%',
  '**',
  '~',
  '==',
  '!=',
  '<',
  '<=',
  '>',
  '>=',
  'in',
  'not in',
  'and',
  'or',
]

/** Cheap to write down, and dear to whatever goes through them without paying. */
const largeValues: readonly [string, ...string[]] = [
  'big',
  'long',
  "('a' * 1000000)",
  "('é😀' * 200000)",
  "('&<b> ' * 100000)",
  "(['x' * 1000] * 1000)",
  'range(9000)',
  '(2 ** 4000)',
]

/** Writes a template that mostly holds by the grammar, as the choices say. */
export function writeTemplate(choices: Choices): string {
  return new Writer(choices).template()
}

class Writer {
  readonly #choices: Choices
  #depth = 0
  #blocks = 0

  constructor(choices: Choices) {
    this.#choices = choices
  }

  template(): string {
    if (this.#choices.oneIn(10)) return this.#repeated()
    const start = this.#choices.oneIn(16) ? `{% extends ${this.#reference()} %}` : ''
    return start + this.#body(8)
  }

  /** What is done with a large value very often, which has to be paid for by its size. */
  #repeated(): string {
    const value = this.#choices.pick(largeValues)
    const done = this.#choices.pick(['set m = ', 'print ', 'if '])
    const end = done === 'if ' ? '{% endif %}' : ''
    const operand = () => this.#choices.pick(['x', 'text', '[x]', '[text]', 'x', 'i'])
    const expression = this.#oneOf(
      () => `x${this.#filters(1)}`,
      () => `x is ${this.#test()}`,
      () => `x is ${this.#choices.pick(testNames)}(text)`,
      () => `${operand()} ${this.#operator()} ${operand()}`,
      () => `x.${this.#choices.pick(methodNames)}(${this.#choices.pick(['', 'text', 'i', "'a'", "'a', 'b'", "'a', 3"])})`,
      () => `x[${this.#slice()}]`,
      () => `{x: i}[${operand()}]`,
      () => `(x, text)${this.#filters(1)}`,
      () => `${this.#choices.pick(strings)}.format(x)`,
      () => `${this.#choices.pick(strings)} % x`,
    )
    return `{% set x = ${value} %}{% set text = ${value} %}{% for i in range(9000) %}{% ${done}${expression} %}${end}{% endfor %}`
  }

  #operator(): string {
    return this.#choices.pick(operators)
  }

  #body(most = 3): string {
    if (this.#depth > maxDepth) return 'x'
    this.#depth += 1
    const parts: string[] = []
    for (let count = 1 + this.#choices.below(most); count > 0 && (parts.length === 0 || !this.#choices.isAtEnd); count -= 1) {
      parts.push(this.#part())
    }
    this.#depth -= 1
    return parts.join('')
  }

  #part(): string {
    const kind = this.#choices.below(8)
    if (kind === 0) return this.#text()
    if (kind < 5) return this.#print()
    return this.#statement()
  }

  #oneOf(...writers: [() => string, ...(() => string)[]]): string {
    return this.#choices.pick(writers)()
  }

  #text(): string {
    return this.#choices.pick([
      'a',
      ' ',
      '\n',
      '  b\n  c\n',
      '\r\n',
      '{',
      '}',
      '%',
      '{ {',
      '<&>',
      'é😀',
      '\t',
      'word '.repeat(50),
    ])
  }

  #print(): string {
    return `{{${this.#sign('-')} ${this.#expression()} ${this.#sign('-')}}}`
  }

  #tag(content: string): string {
    return `{%${this.#sign('-', '+')} ${content} ${this.#sign('-', '+')}%}`
  }

  #sign(...signs: string[]): string {
    return this.#choices.oneIn(6) ? this.#choices.pick(['-', ...signs]) : ''
  }

  #statement(): string {
    return this.#oneOf(
      () => this.#if(),
      () => this.#for(),
      () => this.#for(),
      () => this.#tag(`set ${this.#target()} = ${this.#expression()}`),
      () => `${this.#tag(`set ${this.#choices.pick(targetNames)}${this.#filters()}`)}${this.#body()}${this.#tag('endset')}`,
      () => this.#macro(),
      () => this.#call(),
      () => `${this.#tag(`filter ${this.#filter()}${this.#filters()}`)}${this.#body()}${this.#tag('endfilter')}`,
      () => `${this.#tag(`with ${this.#pairs()}`)}${this.#body()}${this.#tag('endwith')}`,
      () => this.#block(),
      () => this.#composition(),
      () => `{% raw %}{{ ${this.#text()} {% endraw ${this.#sign('-')}%}`,
      () => `{#${this.#sign('-')} ${this.#text()} ${this.#sign('-')}#}`,
      () => this.#tag(`print ${this.#expression()}, ${this.#expression()}`),
    )
  }

  #if(): string {
    const elifs = this.#choices.list(2, () => this.#tag(`elif ${this.#expression()}`) + this.#body())
    const otherwise = this.#choices.oneIn(2) ? this.#tag('else') + this.#body() : ''
    return this.#tag(`if ${this.#expression()}`) + this.#body() + elifs.join('') + otherwise + this.#tag('endif')
  }

  #for(): string {
    const condition = this.#choices.oneIn(4) ? ` if ${this.#expression()}` : ''
    const recursive = this.#choices.oneIn(6) ? ' recursive' : ''
    const source = this.#oneOf(
      () => this.#name(),
      () => 'range(3)',
      () => 'range(9000)',
      () => 'xs',
      () => 'd.items()',
      () => this.#expression(),
    )
    const otherwise = this.#choices.oneIn(4) ? this.#tag('else') + this.#body() : ''
    const start = this.#tag(`for ${this.#target()} in ${source}${condition}${recursive}`)
    const inner = recursive && this.#choices.oneIn(2) ? `{{ loop(${this.#expression()}) }}` : ''
    return start + inner + this.#body() + otherwise + this.#tag('endfor')
  }

  #target(): string {
    const name = () => this.#choices.pick(targetNames)
    return this.#oneOf(
      () => name(),
      () => name(),
      () => name(),
      () => `${name()}, ${name()}`,
      () => `(${name()}, (${name()}, ${name()}))`,
      () => `${name()}.${this.#attribute()}`,
    )
  }

  #macro(): string {
    const parameters = [
      ...this.#choices.list(2, () => this.#choices.pick(targetNames)),
      ...this.#choices.list(2, () => `${this.#choices.pick(targetNames)}=${this.#expression()}`),
    ]
    const name = this.#choices.pick(['f', 'm', 'x', '__proto__', 'constructor'])
    const end = this.#tag('endmacro')
    const use = this.#choices.oneIn(2) ? `{{ ${name}(${this.#arguments()}) }}` : ''
    return this.#tag(`macro ${name}(${parameters.join(', ')})`) + this.#body() + end + use
  }

  #call(): string {
    const parameters = this.#choices.oneIn(3) ? `(${this.#choices.pick(targetNames)})` : ''
    const callee = this.#choices.pick(['f', 'm', 'caller', 'loop', 'self.b0', 'range'])
    return `${this.#tag(`call${parameters} ${callee}(${this.#arguments()})`)}${this.#body()}${this.#tag('endcall')}`
  }

  #pairs(): string {
    return this.#choices.list(2, () => `${this.#choices.pick(targetNames)} = ${this.#expression()}`).join(', ')
  }

  #block(): string {
    const name = `b${this.#blocks}`
    this.#blocks += 1
    const word = this.#choices.pick(['', '', '', '', ' scoped', ' scoped', ' required', ' scoped required'])
    const inner = this.#choices.pick(['', '', '', '{{ super() }}', `{{ self.${name}() }}`, '{{ super.super() }}'])
    return `${this.#tag(`block ${name}${word}`)}${inner}${this.#body()}${this.#tag('endblock')}`
  }

  #reference(): string {
    const name = this.#choices.pick([
      ...partNames,
      ...partNames,
      ...partNames,
      'absent',
      'part@v1',
      '../../etc/passwd',
      '__proto__',
      'constructor',
    ])
    return this.#choices.oneIn(20) ? this.#expression() : `"${name}"`
  }

  #composition(): string {
    const context = this.#choices.pick(['', ' with context', ' without context'])
    const missing = this.#choices.pick(['', ' ignore missing'])
    return this.#choices.pick([
      () => this.#tag(`include ${this.#reference()}${missing}${context}`),
      () => this.#tag(`include [${this.#reference()}, ${this.#reference()}]${missing}${context}`),
      () =>
        `${this.#tag(`import ${this.#reference()} as ${this.#choices.pick(targetNames)}${context}`)}{{ ${this.#expression()} }}`,
      () => this.#tag(`from ${this.#reference()} import f, m as ${this.#choices.pick(targetNames)}${context}`),
      () => this.#tag(this.#choices.pick(['extends "base"', 'do x', 'break', 'debug', 'autoescape true', 'trans'])),
    ])()
  }

  #name(): string {
    const kind = this.#choices.below(16)
    if (kind < 13) return this.#choices.pick(names)
    return kind < 15 ? this.#choices.pick(oddNames) : this.#choices.pick(globalNames)
  }

  #attribute(): string {
    return this.#choices.pick([attributeNames, oddNames, methodNames].flatMap((words) => this.#choices.pick(words)) as [string])
  }

  #expression(): string {
    if (this.#depth > maxDepth || this.#choices.isAtEnd) return this.#atom()
    this.#depth += 1
    const written = this.#choices.below(3) === 0 ? this.#atom() : this.#compound()
    this.#depth -= 1
    return written
  }

  #atom(): string {
    const kind = this.#choices.below(10)
    if (kind < 4) return this.#name()
    if (kind < 6) return this.#choices.pick(strings)
    if (kind < 8) return this.#choices.pick(numbers)
    if (this.#choices.oneIn(6)) return this.#choices.pick(largeValues)
    return this.#choices.pick(['true', 'None', '[]', '{}', '()', '[1, 2, 3]', "{'a': 1, 'b': [2]}", 'range(5)', "('a', 1)"])
  }

  #compound(): string {
    const one = (): string => this.#expression()
    return this.#oneOf(
      () => `${one()}${this.#filters(1)}`,
      () => `${one()}${this.#filters(1)}`,
      () => `${one()} ${this.#operator()} ${one()}`,
      () => `${one()} ${this.#operator()} ${one()}`,
      () => `${this.#name()}.${this.#attribute()}`,
      () => `(${one()}).${this.#attribute()}`,
      () => `(${one()}).${this.#choices.pick(methodNames)}(${this.#arguments()})`,
      () => `(${one()}).${this.#choices.pick(methodNames)}(${this.#arguments()})`,
      () => `(${one()})[${one()}]`,
      () => `(${one()})[${this.#slice()}]`,
      () => `${this.#choices.pick(globalNames)}(${this.#arguments()})`,
      () => `${one()}(${this.#arguments()})`,
      () => `(${one()} is ${this.#choices.pick(['', 'not '])}${this.#test()})`,
      () => `${this.#choices.pick(['not ', '-', '+'])}${one()}`,
      () => `(${one()} if ${one()} else ${one()})`,
      () => `${one()} if ${one()} else ${one()}`,
      () => `${this.#name()}|default(${one()})`,
      () => `(${this.#choices.pick(['varargs', 'kwargs', 'caller()', 'self.b0()', 'super()', 'loop.index', 'loop.previtem'])})`,
      () => `[${this.#choices.list(3, one).join(', ')}]`,
      () => `(${this.#choices.list(3, () => `${one()},`).join(' ')})`,
      () => `{${this.#choices.list(3, () => `${one()}: ${one()}`).join(', ')}}`,
      () => `(${one()})`,
    )
  }

  #slice(): string {
    const part = (): string => (this.#choices.oneIn(2) ? this.#expression() : '')
    return `${part()}:${part()}${this.#choices.oneIn(2) ? `:${part()}` : ''}`
  }

  #filters(least = 0): string {
    const count = least + this.#choices.below(2)
    return Array.from({ length: count }, () => `|${this.#filter()}`).join('')
  }

  #filter(): string {
    return this.#choices.oneIn(60) ? this.#choices.pick(oddNames) : this.#choices.pick(filterNames) + this.#maybeArguments()
  }

  #test(): string {
    return this.#choices.oneIn(60) ? this.#choices.pick(oddNames) : this.#choices.pick(testNames) + this.#maybeArguments()
  }

  #maybeArguments(): string {
    return this.#choices.oneIn(2) ? `(${this.#arguments()})` : ''
  }

  #arguments(): string {
    const spread = this.#choices.oneIn(12) ? [`*${this.#expression()}`] : []
    const keywordSpread = this.#choices.oneIn(12) ? [`**${this.#expression()}`] : []
    const given = this.#choices.list(3, () => this.#expression())
    const named = new Set(this.#choices.list(2, () => this.#choices.pick(keywords)))
    const keywordValues = Array.from(named, (name) => `${name}=${this.#expression()}`)
    return [...given, ...spread, ...keywordValues, ...keywordSpread].join(', ')
  }
}
