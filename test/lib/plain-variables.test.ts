import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { plainVariables } from '../../src/lib/plain-variables.js'
import { bodyVariables } from '../../src/lib/prompt-variables.js'
import { RenderError } from '../../src/lib/rendering/render-error.js'
import { UnitBuilder } from '../../src/lib/rendering/units.js'
import { readTemplate } from '../../src/lib/template/render.js'
import { runs } from '../helpers/runs.js'

/** What parsing finds; null where that is no template. */
function parsedVariables(content: string) {
  const builder = new UnitBuilder({}, readTemplate)
  try {
    return bodyVariables({ content, messages: null }, (text) => builder.build(text, 'content'))
  } catch (error) {
    if (error instanceof RenderError) return null
    throw error
  }
}

const name = fc.constantFrom('a', 'b', 'name', 'user_name', 'x1', 'loop', 'range', 'not', 'true', 'None', '_x', 'é', 'self')
const piece = fc.oneof(
  { weight: 4, arbitrary: name.map((text) => `{{ ${text} }}`) },
  name.map((text) => `{{${text}}}`),
  name.map((text) => `{{\t${text}  }}`),
  fc.constantFrom(
    '{{',
    '}}',
    '{',
    '}',
    '{{ a b }}',
    "{{ 'a' }}",
    '{{ a.b }}',
    '{{ a | upper }}',
    '{{- a -}}',
    '{{ a\n}}',
    '{{{ a }}}',
    '{% if a %}',
    '{# a #}',
  ),
  fc.string({ maxLength: 6 }),
)

t.test('where a template is plain, looking at it finds what parsing does', async (t) => {
  let plain = 0
  const templates = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(templates, (template) => {
      const found = plainVariables(template)
      if (found !== null) plain += 1
      return found === null || isDeepStrictEqual(found, parsedVariables(template))
    }),
    { numRuns: runs(2_000) },
  )
  t.ok(plain > runs(2_000) / 10, `${plain} were plain`)
})

t.test('what means something else is left to the parser', async (t) => {
  const others = [
    '{{ loop }}',
    '{{ range }}',
    '{{ a.b }}',
    '{{ a | upper }}',
    '{% if a %}{% endif %}',
    '{# a #}',
    '{{ a',
    '{{ a }',
    '{{{ a }}}',
  ]
  for (const template of others) t.equal(plainVariables(template), null, template)
  t.strictSame(plainVariables('no variables, a brace { and two }}'), [])
})
