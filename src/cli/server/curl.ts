import { visibleJson } from '../terminal/visible.js'

type Request = { method: string; url: string; headers: Record<string, string>; body: string | null }

/** A command line has no room for more, nor has a reader. */
const maxShownCharacters = 20_000

/**
 * A call as a command line for a shell. The key is named by its variable, so that the line can be shown and still works; other
 * secrets, which only settings of sources hold, are left out, and of a long body only its length is told. Pure.
 */
export function curlOf({ method, url, headers, body }: Request): string {
  const usual = method === (body === null ? 'GET' : 'POST')
  const fields = Object.entries(headers)
    .filter(([name]) => name !== 'user-agent')
    .map(([name, value]) =>
      name === 'authorization' ? '-H "Authorization: Bearer $PROMPTSYNC_TOKEN"' : `-H ${quoted(`${name}: ${value}`)}`,
    )
  return ['curl', ...(usual ? [] : ['-X', method]), quoted(url), ...fields, ...dataOf(url, body)].join(' ')
}

function dataOf(url: string, body: string | null): string[] {
  if (body === null) return []
  if (body.length > maxShownCharacters) return ['-d', '@body.json', `# ${body.length} characters of JSON`]
  return ['-d', quoted(visibleJson(/\/sources\b/.test(url) ? withoutSecrets(body) : body))]
}

const secretFields = new Set(['token', 'sshKey', 'webhookSecret', 'password', 'authorization', 'headers'])
const hidden = '***'

/** The settings of a source without what only it may know. */
function withoutSecrets(body: string): string {
  const settings = JSON.parse(body)
  return JSON.stringify(settings, (name, value) => {
    if (secretFields.has(name) && value !== null) return hidden
    if (name !== 'url' || typeof value !== 'string') return value
    // That of a database is a secret as a whole: its password may stand anywhere in it.
    return settings.provider === 'database' ? hidden : value.replace(/\/\/.*@/s, `//${hidden}@`)
  })
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
