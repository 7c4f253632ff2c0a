import t from 'tap'
import { startDetachable } from './helpers/detachable.js'
import { startService } from './helpers/service.js'

t.test('what one call may cost is bounded', async (t) => {
  const { call, push } = await startService(t)

  t.test('a body of a million empty elements is refused before it is parsed', async (t) => {
    const body = `{"prompts":[${'{},'.repeat(1_000_000)}{}]}`
    const { status, body: problem } = await call('/prompts', { body })
    t.equal(status, 422)
    t.equal(problem.code, 'body.too_complex')
  })

  t.test('a body of many values that are no list elements is refused', async (t) => {
    for (const body of [
      `{"a":[${'[],'.repeat(60_000)}[]]}`,
      `{${'"a":0,'.repeat(60_000)}"b":0}`,
      `{"message":"${'x'.repeat(5_000_000)}"}`,
    ]) {
      t.equal((await call('/prompts', { body })).body.code, 'body.too_complex')
    }
  })

  t.test('a list element of over 4 MiB is refused', async (t) => {
    const body = { prompts: [{ name: 'a', content: 'x', metadata: { text: 'x'.repeat(5_000_000) } }] }
    t.equal((await call('/prompts', { body })).body.code, 'content.too_large')
  })

  t.test('a version of over 1 MiB with its variants is refused', async (t) => {
    const variants = Array.from({ length: 5 }, (_, index) => ({ tags: { n: `${index}` }, content: 'x'.repeat(250_000) }))
    const { status, body } = await call('/prompts', { body: { prompts: [{ name: 'wide', content: 'x', variants }] } })
    t.equal(status, 422)
    t.equal(body.code, 'content.too_large')
    t.match(body.detail, /"wide" is over 1 MiB/)
    await push({ prompts: [{ name: 'wide', content: 'x', variants: variants.slice(1) }] })
  })

  t.test('an answer names a few of many unknown fields', async (t) => {
    const body = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`unknown-${index}`, index]))
    const { status, text } = await call('/prompts', { body })
    t.equal(status, 422)
    t.ok(text.length < 3_000, `${text.length} characters`)
  })

  t.test('a route that is not, and a method that is not allowed, answer without reading the body', async (t) => {
    t.equal((await call('/nosuch', { body: '{bad', key: null })).status, 404)
    t.equal((await call('/prompts', { method: 'PUT', body: '{bad', key: null })).status, 405)
    t.equal((await call('/prompts', { method: 'PUT', body: 'text', headers: { 'content-type': 'text/plain' } })).status, 405)
  })
})

t.test('a push on an older base tells what a new alias would lose against the newest release', async (t) => {
  const { push } = await startService(t)
  await push({ version: 'one', prompts: [{ name: 'a', content: '1' }] })
  await push({
    version: 'two',
    prompts: [
      { name: 'a', content: '2' },
      { name: 'c', content: '1' },
    ],
  })
  const { warnings } = await push({ base: 'one', alias: 'fresh', prompts: [{ name: 'b', content: '1' }] })
  t.match(warnings, [/older version: "a" \(two to one\)/, /Vanishes: "c"/])
})

t.test('while the database is away', async (t) => {
  const { detachable: service, takeAway } = await startDetachable(t)
  const { call, clock } = service
  const { secret } = await service.createKey({ name: 'app', scopes: ['prompts:read'] })
  await service.push({ prompts: [{ name: 'known', content: 'x' }] })
  for (const key of [secret, service.adminKey]) t.equal((await call('/prompts/known/latest', { key })).status, 200)
  await call('/projects/default', { method: 'PATCH', body: { settings: { publicRead: true } } })
  t.equal((await call('/prompts/known/latest', { key: null })).status, 200)
  await takeAway()
  clock.advance(60_000)

  t.test('a key that was good keeps its reads for an hour: what is known, built-ins and fallbacks', async (t) => {
    for (const key of [secret, null]) {
      t.equal((await call('/prompts/meeting/builtin', { key })).status, 200)
      const known = await call('/prompts/known/latest', { key })
      t.equal(known.body.content, 'x')
      t.equal(known.headers.get('x-promptsync-source'), 'stale')
      t.equal(known.headers.get('age'), '60')
      const { status, body } = await call('/prompts/unknown/latest?fallback=default', { key })
      t.equal(status, 200)
      t.equal(body.source, 'fallback')
      t.equal((await call('/prompts/unknown/latest', { key })).body.code, 'database.unavailable')
    }
  })

  t.test('writes and unknown keys are 503', async (t) => {
    const write = await call('/prompts', { body: { prompts: [{ name: 'new', content: 'x' }] } })
    t.equal(write.status, 503)
    t.ok(write.headers.get('retry-after'))
    t.equal((await call('/prompts/meeting/builtin', { key: 'ps_unknown' })).status, 503)
  })

  t.test('after an hour it is 503 as well', async (t) => {
    clock.advance(60 * 60 * 1_000)
    t.equal((await call('/prompts/meeting/builtin', { key: secret })).status, 503)
  })
})
