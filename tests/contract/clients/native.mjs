// The official JavaScript client against the daemon at argv[2]; prints what it got as JSON.
import { Ollama } from 'ollama'

const client = new Ollama({ host: process.argv[2] })
const model = 'tinychat'
const options = { temperature: 0 }
const hello = [{ role: 'user', content: 'Hello!' }]
const said = {}

said.chat = await client.chat({ model, messages: hello, options, think: false })

said.streamed = ''
for await (const part of await client.chat({ model, messages: hello, options, think: false, stream: true })) {
  said.streamed += part.message.content
}

const sum = [{ role: 'user', content: 'What is 27 + 45?' }]
said.thought = (await client.chat({ model, messages: sum, options, think: true })).message

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_temperature',
      description: 'Get the temperature in a city.',
      parameters: { type: 'object', required: ['city'], properties: { city: { type: 'string', description: 'The city' } } },
    },
  },
]
const messages = [{ role: 'user', content: 'What is the temperature in Paris?' }]
const asked = await client.chat({ model, messages, tools, options, think: false })
said.call = asked.message.tool_calls?.[0].function
messages.push(asked.message, { role: 'tool', tool_name: 'get_temperature', content: '{"temperature": 15}' })
said.answered = (await client.chat({ model, messages, tools, options, think: false })).message.content

const format = { type: 'object', required: ['name'], properties: { name: { enum: ['Zoe', 'Tom'] } } }
const zoe = [{ role: 'user', content: 'My name is Zoe. Answer in JSON.' }]
said.json = JSON.parse((await client.chat({ model, messages: zoe, format, options, think: false })).message.content)

said.generated = (await client.generate({ model, prompt: 'Hello!', options, think: false })).response
said.vectors = (await client.embed({ model, input: ['a', 'b'] })).embeddings.map((vector) => vector.length)
said.models = (await client.list()).models.map((found) => found.name)
said.running = (await client.ps()).models.map((found) => found.name)
said.shown = (await client.show({ model })).capabilities
said.version = (await client.version()).version

const cut = await client.generate({ model, prompt: 'Tell me a story.', options, stream: true, think: false })
said.aborted = ''
try {
  for await (const part of cut) {
    if (part.response) cut.abort()
  }
} catch (error) {
  said.aborted = error.name
}

try {
  await client.chat({ model: 'no-such-model', messages: hello })
} catch (error) {
  said.error = { status: error.status_code, text: error.error }
}

console.log(JSON.stringify(said))
