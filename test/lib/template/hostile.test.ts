import { readFileSync } from 'node:fs'
import t from 'tap'
import { PrototypeWatch } from '../../fuzz/prototypes.js'
import { busyMs, end, endInTime, maxMs } from './endings.js'
import { escapes, exhausting } from './hostile-templates.js'

const published = JSON.parse(
  readFileSync(new URL('../../fixtures/jinja2/hostile-templates.json', import.meta.url), 'utf8'),
) as Record<'runsCode' | 'pollutes' | 'readsFiles' | 'exhausts', Record<string, string>>

const watch = new PrototypeWatch()
t.teardown(() => watch.remove())

t.test('every published template that attacks is refused, or ends in a coded error, in time', async (t) => {
  watch.takeTouches()
  for (const [group, templates] of Object.entries(published)) {
    for (const [name, source] of Object.entries(templates)) {
      const { code, ms } = endInTime(source)
      t.type(code, 'string', `${group}/${name} ends in an error`)
      t.ok(ms <= maxMs, `${group}/${name} takes ${ms.toFixed(0)} ms`)
    }
  }
  t.strictSame(watch.takeTouches(), [])
})

t.test('a template reaches nothing but its own values', async (t) => {
  watch.takeTouches()
  for (const [source, expected] of escapes) {
    const { text, code } = end(source)
    t.equal(code ?? text, expected, source)
  }
  t.strictSame(watch.takeTouches(), [])
})

t.test('what would use up the machine ends in time', async (t) => {
  for (const source of exhausting) {
    const { ms, text } = endInTime(source)
    t.ok(ms <= busyMs, `${ms.toFixed(0)} ms: ${source}`)
    t.ok((text ?? '').length <= 1024 ** 2, source)
  }
})

t.test('no object of the language is changed by any of it', async (t) => {
  t.strictSame(watch.changes(), [])
})
