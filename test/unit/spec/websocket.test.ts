/** The option `webSocket`, and what else is another for WebSockets. */
import { expect, it } from 'vitest'
import { ShiftworkError } from '../../../src/errors.ts'
import { checkSpecs } from '../../../src/spec/check.ts'

const LISTEN = 'websocket://127.0.0.1:8080'

function refusal(options: Record<string, unknown>, listen: string = LISTEN): string[] {
  try {
    checkSpecs([{ listen, options: { name: 'web', ...options } }])
  } catch (error) {
    if (error instanceof ShiftworkError) return [error.message, error.hint ?? '']
    throw error
  }
  return []
}

it.each([
  {},
  { webSocket: {} },
  { webSocket: { protocols: ['chat.v2', 'chat.v1'], compression: true } },
  { webSocket: { protocols: 'chat', compression: false } },
  { webSocket: { compression: { thresholdBytes: 0 } } },
  { webSocket: { compression: {} } },
  { heartbeat: { everyMs: 1_000 } },
  { maxMessageBytes: 1 },
])('%j is fine', (options) => {
  expect(refusal(options)).toEqual([])
})

it.each([
  [{ webSocket: true }, 'webSocket is true', 'protocols, compression'],
  [{ webSocket: { protocol: 'chat' } }, 'webSocket has an unknown member "protocol"', 'protocols'],
  [{ webSocket: { protocols: [1] } }, 'protocols is an array', 'array of texts'],
  [{ webSocket: { protocols: ['two words'] } }, 'webSocket.protocols has "two words"', 'one word'],
  [{ webSocket: { compression: 'yes' } }, 'compression is "yes"', 'true or false'],
  [{ webSocket: { compression: null } }, 'compression is null', 'thresholdBytes'],
  [{ webSocket: { compression: { level: 9 } } }, 'compression has an unknown member "level"', 'thresholdBytes'],
  [{ webSocket: { compression: { thresholdBytes: -1 } } }, 'thresholdBytes is -1', 'from 0'],
  [{ maxMessageBytes: 0 }, 'maxMessageBytes is 0', 'from 1'],
  [{ protocol: { input: Number, decode: String, encode: String } }, 'not on top of bytes', 'tcp://'],
])('%j is refused in one sentence', (options, message, hint) => {
  const [said = '', advised = ''] = refusal(options as Record<string, unknown>)
  expect(said).toContain('Worker "web')
  expect(said).toContain(message)
  expect(advised).toContain(hint)
})

it.each(['http://127.0.0.1:8080', 'tcp://127.0.0.1:8080'])('%s knows no webSocket', (listen) => {
  expect(refusal({ webSocket: {} }, listen)[0]).toBe('Worker "web" has webSocket, but not an address of WebSockets')
})
