import type { IncomingMessage } from 'node:http'
import type { CallRequest } from '../../client/http.js'

type Init = Pick<CallRequest, 'method' | 'headers' | 'body'> & { signal: AbortSignal }

/**
 * As much of `fetch` as calls of the server need, by Node's older client: the newer one takes more time to load than a command
 * otherwise takes to run, and gives up after 300 s whatever `--timeout` says. It follows no redirect. Throws a `TypeError` with the
 * reason as its cause, and what the signal is aborted with.
 */
export async function nodeFetch(url: string, init: Init): Promise<Response> {
  const response = await send(url, init)
  const { statusCode: status = 0, headers } = response
  const answer = {
    ...{ status, type: 'default', body: { getReader: () => readerOf(response) } },
    headers: { get: (name: string) => headers[name]?.toString() ?? null },
  }
  return answer as unknown as Response
}

async function send(url: string, { method, headers, body, signal }: Init): Promise<IncomingMessage> {
  const { request } = url.startsWith('https:') ? await import('node:https') : await import('node:http')
  return new Promise((resolve, reject) => {
    request(url, { method, headers, signal }, resolve)
      .on('error', (cause) => reject(new TypeError('The call failed.', { cause })))
      .end(body ?? undefined)
  })
}

function readerOf(response: IncomingMessage) {
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return {
    read: () =>
      chunks.next().catch((cause: unknown) => {
        throw new TypeError('The answer broke off.', { cause })
      }),
    cancel: async () => void response.destroy(),
  }
}
