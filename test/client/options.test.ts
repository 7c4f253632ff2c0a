import fc from 'fast-check'
import t from 'tap'
import { PromptManager, PromptsyncError } from '../../src/client/index.js'
import { readOptions } from '../../src/client/options.js'

const url = 'https://prompts.example.com'

const errorOf = (options: object): PromptsyncError => {
  try {
    readOptions(options)
  } catch (error) {
    if (error instanceof PromptsyncError) return error
    throw error
  }
  throw new Error('Nothing was thrown.')
}

t.test('an option that is wrong is named, and what it holds is not told', (t) => {
  const secret = 'ps_secret secret'
  const wrong: [string, object][] = [
    ['url', { url: 'prompts.example.com' }],
    ['url', { url: 'ftp://prompts.example.com' }],
    ['url', { url: `https://user:${secret}@prompts.example.com` }],
    ['url', { url: `${url}?token=${secret}` }],
    ['token', { url, token: secret }],
    ['token', { url, token: '' }],
    ['project', { url, project: 'Not A Slug' }],
    ['defaultAlias', { url, defaultAlias: '../x' }],
    ['refreshIntervalMs', { url, refreshIntervalMs: -1 }],
    ['refreshIntervalMs', { url, refreshIntervalMs: 2 ** 31 }],
    ['timeoutMs', { url, timeoutMs: 0 }],
    ['timeoutMs', { url, timeoutMs: '5s' }],
    ['maxStaleMs', { url, maxStaleMs: Number.NaN }],
    ['cacheStrategy.refreshStrategy', { url, cacheStrategy: { refreshStrategy: 'sometimes' } }],
    ['cacheStrategy.memoryTtl', { url, cacheStrategy: { memoryTtl: 1 } }],
    ['cacheStrategy', { url, cacheStrategy: null }],
    ['events', { url, events: 'yes' }],
    ['fetch', { url, fetch: 'fetch' }],
    ['onError', { url, onError: {} }],
    ['cacheDir', { url, cacheDir: '' }],
    ['baseUrl', { baseUrl: url }],
  ]
  for (const [option, options] of wrong) {
    const error = errorOf(options)
    t.match(error, { code: 'client.invalid', status: null, message: new RegExp(`^${option.replace('.', '\\.')} `) }, option)
    t.notMatch(error.message, secret)
  }
  t.throws(() => new PromptManager({ url: 'none' }), { code: 'client.invalid' })
  t.end()
})

t.test('what is not given comes from the environment, and what is given beats it', (t) => {
  const before = { ...process.env }
  t.teardown(() => {
    for (const name of ['PROMPTSYNC_URL', 'PROMPTSYNC_TOKEN', 'PROMPTSYNC_PROJECT']) delete process.env[name]
    Object.assign(process.env, before)
  })
  delete process.env.PROMPTSYNC_URL
  t.match(errorOf({}), { message: /^url is missing\. .*PROMPTSYNC_URL/ })
  Object.assign(process.env, {
    PROMPTSYNC_URL: `${url}/registry/`,
    PROMPTSYNC_TOKEN: 'ps_environment\n',
    PROMPTSYNC_PROJECT: 'acme',
  })
  t.match(readOptions({}), { url: `${url}/registry`, token: 'ps_environment', project: 'acme', defaultAlias: 'production' })
  t.match(readOptions({ url, token: 'ps_given', project: 'other' }), { url, token: 'ps_given', project: 'other' })
  t.match(readOptions({ token: null, project: null }), { token: null, project: null })
  t.end()
})

t.test('any options are taken or refused with client.invalid', (t) => {
  const names = ['url', 'token', 'project', 'timeoutMs', 'maxStaleMs', 'cacheStrategy', 'events', 'fetch', 'cacheDir', 'x']
  const options = fc.dictionary(fc.constantFrom(...names), fc.oneof(fc.anything(), fc.constant(url), fc.nat()))
  fc.assert(
    fc.property(options, (given) => {
      try {
        readOptions(given)
        return true
      } catch (error) {
        return error instanceof PromptsyncError && error.code === 'client.invalid'
      }
    }),
  )
  t.end()
})
