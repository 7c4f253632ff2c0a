import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type FormattedPrompt, toAISDK, toAnthropic, toOpenAI } from '../../src/client/formats.js'
import { PromptsyncError } from '../../src/client/problem.js'
import type { RenderedMessage } from '../../src/lib/rendering/placeholders.js'
import { runs } from '../helpers/runs.js'

const text = (config = {}): FormattedPrompt => ({ type: 'text', text: 'You help Acme.', config })
const chat = (messages: RenderedMessage[], config = {}): FormattedPrompt => ({ type: 'chat', messages, config })

const png = 'data:image/png;base64,iVBORw0KGgo='
const weatherCall = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } }
/** A conversation with everything that Chat Completions have a form for, and what an application keeps beside it. */
const conversation: RenderedMessage[] = [
  { role: 'system', content: 'You help Acme.' },
  { role: 'user', content: 'What is the weather?', name: 'ann', id: 'message-7' },
  { role: 'assistant', content: null, tool_calls: [weatherCall] },
  { role: 'tool', content: 'Sunny.', tool_call_id: 'call_1' },
  { role: 'assistant', content: 'It is sunny.' },
  { role: 'user', content: ['Is this the sun?', { type: 'image_url', image_url: { url: png } }] },
]
const weatherSchema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

const refuses = (t: Test, work: () => unknown, says: RegExp) =>
  t.throws(work, { name: 'PromptsyncError', code: 'client.invalid', message: says })

t.test('a text prompt is the instructions of the model, to which the conversation is added', async (t) => {
  const messages = [{ role: 'user', content: 'Hello' }]
  t.strictSame(toOpenAI(text()), { messages: [{ role: 'system', content: 'You help Acme.' }] })
  t.strictSame(toOpenAI(text(), { messages }).messages, [{ role: 'system', content: 'You help Acme.' }, ...messages])
  t.strictSame(toAnthropic(text(), { messages }), { system: 'You help Acme.', messages, max_tokens: 4_096 })
  t.strictSame(toAISDK(text(), { messages }), { system: 'You help Acme.', messages })
})

t.test('a text prompt is what the user says where its config says so', async (t) => {
  const messages = [{ role: 'user', content: 'You help Acme.' }]
  t.strictSame(toOpenAI(text({ role: 'user' })), { messages })
  t.strictSame(toAnthropic(text({ role: 'user' })), { messages, max_tokens: 4_096 })
  t.strictSame(toAISDK(text({ role: 'user' })), { messages })
})

t.test('a chat goes to OpenAI as it is, but for members that its API refuses', async (t) => {
  t.strictSame(toOpenAI(chat(conversation)).messages, [
    conversation[0],
    { role: 'user', content: 'What is the weather?', name: 'ann' },
    ...conversation.slice(2, 5),
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Is this the sun?' },
        { type: 'image_url', image_url: { url: png } },
      ],
    },
  ])
})

t.test(
  'a chat goes to Anthropic with its instructions apart, its calls as blocks, and neighbours of one role joined',
  async (t) => {
    const messages = [...conversation, { role: 'user', content: 'Answer soon.' }, { role: 'developer', content: 'Be kind.' }]
    t.strictSame(toAnthropic(chat(messages)), {
      system: [
        { type: 'text', text: 'You help Acme.' },
        { type: 'text', text: 'Be kind.' },
      ],
      messages: [
        { role: 'user', content: 'What is the weather?' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Rome' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call_1', content: 'Sunny.' }] },
        { role: 'assistant', content: 'It is sunny.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Is this the sun?' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
            { type: 'text', text: 'Answer soon.' },
          ],
        },
      ],
      max_tokens: 4_096,
    })
  },
)

t.test('a chat goes to the AI SDK with its calls and their results as parts that name the tool', async (t) => {
  t.strictSame(toAISDK(chat(conversation)), {
    system: 'You help Acme.',
    messages: [
      { role: 'user', content: 'What is the weather?' },
      {
        role: 'assistant',
        content: [{ type: 'tool-call', toolCallId: 'call_1', toolName: 'weather', input: { city: 'Rome' } }],
      },
      {
        role: 'tool',
        content: [{ type: 'tool-result', toolCallId: 'call_1', toolName: 'weather', output: { type: 'text', value: 'Sunny.' } }],
      },
      { role: 'assistant', content: 'It is sunny.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Is this the sun?' },
          { type: 'image', image: png },
        ],
      },
    ],
  })
})

t.test('files, sound and images at an address find their form', async (t) => {
  const content = [
    { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
    { type: 'input_audio', input_audio: { format: 'mp3', data: 'SUQz' } },
  ]
  const prompt = chat([{ role: 'user', content }])
  t.strictSame(toOpenAI(prompt).messages, [{ role: 'user', content }])
  t.strictSame(toAnthropic(chat([{ role: 'user', content: content.slice(0, 2) }])).messages[0]?.content, [
    { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
    { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' }, title: 'a.pdf' },
  ])
  t.strictSame(toAISDK(prompt).messages[0]?.content, [
    { type: 'image', image: 'https://example.com/a.png' },
    { type: 'file', data: 'JVBE', mediaType: 'application/pdf', filename: 'a.pdf' },
    { type: 'file', data: 'SUQz', mediaType: 'audio/mpeg' },
  ])
})

t.test('settings are understood in snake case and in camel case, under the names that each target has for them', async (t) => {
  const settings = {
    model: 'm',
    temperature: 0.2,
    top_p: 0.9,
    top_k: 5,
    max_tokens: 100,
    stop: 'END',
    seed: 7,
    frequency_penalty: 1,
  }
  const camelCase = {
    model: 'm',
    temperature: 0.2,
    topP: 0.9,
    topK: 5,
    maxTokens: 100,
    stop: ['END'],
    seed: 7,
    frequencyPenalty: 1,
  }
  for (const config of [settings, camelCase]) {
    const { messages: _openai, ...openai } = toOpenAI(text(config))
    const wanted = { model: 'm', temperature: 0.2, top_p: 0.9, seed: 7, max_tokens: 100, frequency_penalty: 1, stop: ['END'] }
    t.same(openai, wanted)
    const { messages: _anthropic, system: _system, ...anthropic } = toAnthropic(text(config))
    t.same(anthropic, { model: 'm', max_tokens: 100, temperature: 0.2, top_p: 0.9, top_k: 5, stop_sequences: ['END'] })
    const { messages: _ai, system: _instructions, ...ai } = toAISDK(text(config))
    t.same(ai, {
      temperature: 0.2,
      maxOutputTokens: 100,
      topP: 0.9,
      topK: 5,
      frequencyPenalty: 1,
      stopSequences: ['END'],
      seed: 7,
    })
  }
})

t.test('of two names of one limit a request has one', async (t) => {
  const both = toOpenAI(text({ max_tokens: 100, max_completion_tokens: 200 }))
  t.match(both, { max_completion_tokens: 200 })
  t.notOk('max_tokens' in both)
  t.match(toOpenAI(text({ maxOutputTokens: 300 })), { max_completion_tokens: 300 })
  t.equal(toAnthropic(text({ max_completion_tokens: 200 })).max_tokens, 200)
})

t.test(
  'functions are understood in the forms of OpenAI, of Anthropic and of MCP; tools of a provider stay as they are',
  async (t) => {
    const named = { name: 'weather', description: 'The weather.' }
    const forms = [
      { type: 'function', function: { ...named, parameters: weatherSchema } },
      { type: 'function', ...named, parameters: weatherSchema },
      { ...named, input_schema: weatherSchema },
      { ...named, inputSchema: weatherSchema },
    ]
    for (const tool of forms) {
      const config = { tools: [tool, { type: 'web_search_20250305', name: 'web_search' }] }
      t.strictSame(toOpenAI(text(config)).tools, [forms[0], config.tools[1]])
      t.strictSame(toAnthropic(text(config)).tools, [forms[2], config.tools[1]])
    }
    const bare = { tools: [{ type: 'function', function: { name: 'now' } }] }
    t.strictSame(toOpenAI(text(bare)).tools, bare.tools)
    t.strictSame(toAnthropic(text(bare)).tools, [{ name: 'now', input_schema: { type: 'object' } }])
  },
)

t.test('the choice of a tool is said in the words of each', async (t) => {
  const named = { type: 'function', function: { name: 'weather' } } as const
  const cases = [
    ['auto', 'auto', { type: 'auto' }],
    ['none', 'none', { type: 'none' }],
    ['required', 'required', { type: 'any' }],
    ['any', 'required', { type: 'any' }],
    [{ type: 'any' }, 'required', { type: 'any' }],
    [named, named, { type: 'tool', name: 'weather' }],
    [{ type: 'tool', name: 'weather' }, named, { type: 'tool', name: 'weather' }],
    [{ type: 'tool', toolName: 'weather' }, named, { type: 'tool', name: 'weather' }],
  ] as const
  for (const [choice, openai, anthropic] of cases) {
    t.strictSame(toOpenAI(text({ tool_choice: choice })).tool_choice, openai)
    t.strictSame(toAnthropic(text({ toolChoice: choice })).tool_choice, anthropic)
  }
  const serial = text({ parallel_tool_calls: false })
  t.equal(toOpenAI(serial).parallel_tool_calls, false)
  t.strictSame(toAnthropic(serial).tool_choice, { type: 'auto', disable_parallel_tool_use: true })
})

t.test('the form of the answer is understood as a request has it and as GitHub’s prompt files have it', async (t) => {
  const schema = { type: 'object', properties: {} }
  const named = { type: 'json_schema', json_schema: { name: 'city', schema } }
  const formOf = (config: object) => toOpenAI(text(config)).response_format
  t.strictSame(formOf({ response_format: named }), named)
  t.strictSame(formOf({ responseFormat: 'json_schema', jsonSchema: { name: 'city', schema } }), named)
  t.strictSame(formOf({ jsonSchema: schema }), { type: 'json_schema', json_schema: { name: 'answer', schema } })
  t.strictSame(formOf({ responseFormat: 'json_object', jsonSchema: 'no schema' }), { type: 'json_object' })
  t.equal(formOf({ responseFormat: 'json_schema' }), undefined, 'a schema that is missing cannot be asked for')
})

t.test('a prefill begins the answer of Anthropic’s models, and is nothing to the others', async (t) => {
  const config = { prefill: 'The answer is \n' }
  const messages = [{ role: 'user', content: 'And?' }]
  const begun = { role: 'assistant', content: 'The answer is' }
  t.strictSame(toAnthropic(text(config), { messages }).messages, [...messages, begun], 'without the blank that the API refuses')
  t.strictSame(toAnthropic(text(config)).messages, [], 'it waits for something to answer')
  t.strictSame(toOpenAI(text(config), { messages }).messages, toOpenAI(text(), { messages }).messages)
  t.strictSame(toAISDK(text(config), { messages }), toAISDK(text(), { messages }))
})

t.test('what a target has no place for is left out', async (t) => {
  const config = {
    ...{
      tone: 'friendly',
      connection_profile: 'x',
      stream: true,
      thinking: { type: 'disabled' },
      top_k: 3,
      reasoning_effort: 'low',
    },
    ...{ metadata: { user_id: 'u', team: 'x' }, service_tier: 'flex', temperature: null },
  }
  const { messages: _openai, ...openai } = toOpenAI(text(config))
  t.strictSame(openai, { reasoning_effort: 'low', service_tier: 'flex', metadata: config.metadata })
  const { messages: _anthropic, system: _system, ...anthropic } = toAnthropic(text(config))
  t.strictSame(anthropic, { max_tokens: 4_096, top_k: 3, thinking: config.thinking, metadata: { user_id: 'u' } })
  const { messages: _ai, system: _instructions, ...ai } = toAISDK(text({ ...config, model: 'm', tools: [], tool_choice: 'auto' }))
  t.strictSame(ai, { topK: 3 })
})

t.test('a setting of a wrong type is refused by its name, without its value', async (t) => {
  refuses(t, () => toOpenAI(text({ temperature: 'secret' })), /^config\.temperature of the prompt is a text, not a number\./)
  refuses(t, () => toAnthropic(text({ maxTokens: [1] })), /^config\.maxTokens of the prompt is an array, not a number\./)
  refuses(t, () => toAISDK(text({ stop: [1] })), /config\.stop .* not a text or a list of texts/)
  refuses(t, () => toOpenAI(text({ tools: { weather: {} } })), /config\.tools .* not a list/)
  refuses(t, () => toOpenAI(text({ tools: ['weather'] })), /A tool in config\.tools/)
  refuses(t, () => toAnthropic(text({ tool_choice: 'always' })), /config\.tool_choice/)
})

t.test('a message that a target cannot say is refused', async (t) => {
  const narrator = chat([{ role: 'narrator', content: 'Meanwhile' }])
  t.strictSame(toOpenAI(narrator).messages, narrator.messages, 'services like that of OpenAI may have roles of their own')
  refuses(t, () => toAnthropic(narrator), /no role "narrator"/)
  refuses(t, () => toAISDK(narrator), /role "narrator"/)
  const unasked = chat([{ role: 'tool', content: 'Sunny.', tool_call_id: 'call_9' }])
  refuses(t, () => toAISDK(unasked), /"call_9"/)
  refuses(t, () => toAnthropic(chat([{ role: 'tool', content: 'Sunny.' }])), /tool_call_id/)
  const broken = { ...weatherCall, function: { name: 'weather', arguments: '{' } }
  refuses(t, () => toAnthropic(chat([{ role: 'assistant', content: null, tool_calls: [broken] }])), /"weather" are not JSON/)
  refuses(t, () => toAISDK(chat([{ role: 'assistant', content: null, tool_calls: [{ id: 1 }] }])), /tool_calls/)
})

t.test('a request may be changed without changing the prompt', async (t) => {
  const config = Object.freeze({ stop: Object.freeze(['END']), metadata: Object.freeze({ team: 'x' }) })
  const request = toOpenAI(text(config))
  request.stop?.push('STOP')
  Object.assign(request.metadata ?? {}, { call: '1' })
  t.same(config, { stop: ['END'], metadata: { team: 'x' } })
})

const role = fc.constantFrom('system', 'user', 'assistant', 'developer')
const said = fc.record({ role, content: fc.string({ minLength: 1, maxLength: 5 }) })

t.test('Anthropic gets turns by turns, and every text once and in its order', async () => {
  const textsOf = (content: unknown) =>
    typeof content === 'string' ? [content] : (content as { text: string }[]).map(({ text }) => text)
  fc.assert(
    fc.property(fc.array(said, { maxLength: 12 }), (messages) => {
      const request = toAnthropic(chat(messages))
      const isAlternating = request.messages.every(({ role }, index) => role !== request.messages[index - 1]?.role)
      const isInstruction = ({ role }: RenderedMessage) => role === 'system' || role === 'developer'
      const spoken = messages.filter((message) => !isInstruction(message)).map(({ content }) => content)
      const instructions = messages.filter(isInstruction).map(({ content }) => content)
      const isSame = (a: unknown[], b: unknown[]) => JSON.stringify(a) === JSON.stringify(b)
      return (
        isAlternating &&
        isSame(
          request.messages.flatMap(({ content }) => textsOf(content)),
          spoken,
        ) &&
        isSame(textsOf(request.system ?? []), instructions)
      )
    }),
    { numRuns: runs(200) },
  )
})

t.test('whatever a config and messages hold, there is a request without undefined members, or a refusal', async () => {
  const names = [
    'model',
    'temperature',
    'maxTokens',
    'tools',
    'tool_choice',
    'stop',
    'response_format',
    'jsonSchema',
    'metadata',
    'prefill',
  ]
  const config = fc.dictionary(fc.constantFrom(...names), fc.jsonValue())
  const message = fc.record(
    { role: fc.string(), content: fc.jsonValue(), tool_calls: fc.jsonValue() },
    { requiredKeys: ['role', 'content'] },
  )
  fc.assert(
    fc.property(config, fc.array(message, { maxLength: 4 }), (config, messages) => {
      for (const format of [toOpenAI, toAnthropic, toAISDK]) {
        try {
          const request = format(chat(messages, config))
          if (Object.values(request).includes(undefined as never)) return false
        } catch (error) {
          if (!(error instanceof PromptsyncError) || error.code !== 'client.invalid') throw error
        }
      }
      return true
    }),
    { numRuns: runs(300) },
  )
})
