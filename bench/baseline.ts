// What the service is measured beside: Fastify with one route and nothing else, in a process of its own. Its argument says
// what it answers; it prints where it listens.
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'

export type BaselineAnswer =
  /** The same for every request. */
  | { from: 'constant'; status: number; headers: Record<string, string>; body: string }
  /** One GET of the prompt's name, which holds the body. */
  | { from: 'redis'; url: string; contentType: string }
  /** One prepared statement that reads the body by its primary key. */
  | { from: 'postgres'; url: string; contentType: string }

const connections = 8

type Prompt = { Params: { name: string } }

function answerConstant(app: FastifyInstance, { status, headers, body }: BaselineAnswer & { from: 'constant' }): void {
  // Null would be sent as JSON.
  const bytes = body === '' ? undefined : Buffer.from(body)
  const fields = Object.entries(headers)
  for (const url of ['/prompts/:name/*', '/resolve']) {
    app.route({
      method: ['GET', 'POST'],
      url,
      handler: (_request, reply) => {
        reply.code(status)
        for (const [name, value] of fields) reply.header(name, value)
        reply.send(bytes)
      },
    })
  }
}

function answerFromRedis(app: FastifyInstance, { url, contentType }: BaselineAnswer & { from: 'redis' }): void {
  const redis = new Redis(url)
  app.get<Prompt>('/prompts/:name/*', async (request, reply) => {
    const bytes = await redis.getBuffer(request.params.name)
    return reply.type(contentType).send(bytes)
  })
}

function answerFromPostgres(app: FastifyInstance, { url, contentType }: BaselineAnswer & { from: 'postgres' }): void {
  const pool = new pg.Pool({ connectionString: url, max: connections })
  app.get<Prompt>('/prompts/:name/*', async (request, reply) => {
    const statement = { name: 'body', text: 'SELECT body FROM baseline_bodies WHERE name = $1', values: [request.params.name] }
    const { rows } = await pool.query<{ body: Buffer }>(statement)
    return reply.type(contentType).send(rows[0]?.body)
  })
}

const answer = JSON.parse(process.argv[2] ?? '') as BaselineAnswer
const app = Fastify()
if (answer.from === 'constant') answerConstant(app, answer)
else if (answer.from === 'redis') answerFromRedis(app, answer)
else answerFromPostgres(app, answer)
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
