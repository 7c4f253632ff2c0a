import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PromptPlan } from '../../../src/lib/prompt-plan.js'
import type { Teardown } from '../../helpers/service.js'
import { type HttpPeer, startHttpPeer } from '../../providers/helpers/http-peer.js'

/** What takes the place of an answer. */
export type Trouble = (request: IncomingMessage, response: ServerResponse) => void

export type PlanPeer = HttpPeer & {
  /** The contents of the prompts at every ref. */
  contents: Map<string, string>
  release: string
  by: PromptPlan['by']
  trouble: Trouble | null
  /** Header fields of all answers. */
  fields: Record<string, string>
  /** How many requests came, answered or not. */
  received(): number
}

/** Answers plans as a promptsync service would, out of a map, so that tests can have it fail in every way. */
export async function startPlanPeer(t: Teardown, contents: Record<string, string> = { greeting: 'Hello!' }): Promise<PlanPeer> {
  let received = 0
  const peer: PlanPeer = Object.assign(await startHttpPeer(t), {
    contents: new Map(Object.entries(contents)),
    release: 'r1',
    by: 'alias' as const,
    trouble: null,
    fields: {},
    received: () => received,
  })
  peer.answer = (request, response) => {
    received += 1
    if (peer.trouble) peer.trouble(request, response)
    else if (request.method === 'POST') void answerMany(peer, request, response)
    else answerOne(peer, request, response)
  }
  return peer
}

export const problem =
  (status: number, code: string, fields: Record<string, string> = {}): Trouble =>
  (_, response) => {
    const body = { type: 'about:blank', title: code, status, code, detail: `This is ${code}.`, requestId: 'req-1' }
    response.writeHead(status, { 'content-type': 'application/problem+json', ...fields }).end(JSON.stringify(body))
  }

export const html: Trouble = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Log in to the guest network</h1>')
}

/** Says that more comes than does. */
export const cut: Trouble = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '10000' })
  response.write('{"name":"gre', () => response.destroy())
}

function answerOne(peer: PlanPeer, request: IncomingMessage, response: ServerResponse): void {
  const [, , name = '', ref = ''] = (request.url ?? '').split('?')[0]?.split('/').map(decodeURIComponent) ?? []
  const plan = planOf(peer, name, ref)
  if (plan) send(peer, request, response, plan)
  else problem(404, 'prompt.not_found')(request, response)
}

async function answerMany(peer: PlanPeer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = ''
  for await (const chunk of request) text += chunk
  const { names, ref } = JSON.parse(text) as { names: string[]; ref: string }
  const plans = names.map((name) => ({ name, plan: planOf(peer, name, ref) }))
  const missing = { status: 404, code: 'prompt.not_found', title: 'No such prompt', detail: 'There is none.' }
  send(peer, request, response, {
    ...{ ref, release: peer.release },
    items: plans.flatMap(({ plan }) => plan ?? []),
    problems: plans.flatMap(({ name, plan }) => (plan ? [] : { name, ...missing })),
  })
}

function send(peer: PlanPeer, request: IncomingMessage, response: ServerResponse, body: object): void {
  const text = JSON.stringify(body)
  const etag = `"${createHash('sha256').update(text).digest('hex').slice(0, 16)}"`
  const fields = { etag, 'x-promptsync-source': 'registry', ...peer.fields }
  if (request.headers['if-none-match'] === etag) response.writeHead(304, fields).end()
  else response.writeHead(200, { ...fields, 'content-type': 'application/json' }).end(text)
}

function planOf({ contents, release, by }: PlanPeer, name: string, ref: string): PromptPlan | null {
  const content = contents.get(name)
  if (content === undefined) return null
  const prompt = {
    ...{ content, messages: null, variables: [], version: 'v1', release, type: 'text' as const, template: 'jinja' as const },
    ...{ config: {}, inputs: null, includes: {}, variants: [], contentHash: 'sha256:0', git: null, createdAt: null },
  }
  return { name, ref, by, source: 'registry', stable: { release, version: 'v1', prompt, problem: null }, canary: null }
}
