/** The options of a worker's connections: what is taken, and the sentence for each thing that is wrong. */
import { describe, expect, it } from 'vitest'
import { ShiftworkError } from '../../../src/errors.ts'
import { checkSpecs } from '../../../src/spec/check.ts'

const CODEC = { input: () => 0, decode: () => '', encode: () => '' }
const TLS = { tls: { key: 'key', cert: 'cert' } }

function check(listen: string | undefined, options: Record<string, unknown>): void {
  checkSpecs([{ listen, options: { name: 'web', ...options } }])
}

describe('is taken', () => {
  it.each([
    ['text://127.0.0.1:0', { maxMessageBytes: 0, maxSendBufferBytes: 1, idleTimeoutMs: 0 }],
    ['text://127.0.0.1:0', { idleTimeoutMs: 2 ** 31 - 1, heartbeat: { everyMs: 1, maxMissed: 1, data: '' } }],
    ['frame://127.0.0.1:0', { heartbeat: { everyMs: 30_000, data: Buffer.of(0) } }],
    ['tls://127.0.0.1:0', { ...TLS, heartbeat: { everyMs: 30_000, data: 'ping' } }],
    ['websocket://127.0.0.1:0', { heartbeat: { everyMs: 30_000 } }],
    ['wss://127.0.0.1:0', { ...TLS, heartbeat: { everyMs: 30_000, maxMissed: 1_000 } }],
    ['tcp://127.0.0.1:0', { protocol: CODEC }],
    ['tls://127.0.0.1:0', { ...TLS, protocol: CODEC }],
    ['tcp+unix:///run/app.sock', { protocol: CODEC, heartbeat: { everyMs: 1, data: { any: 'value' } } }],
    ['http://127.0.0.1:0', { maxMessageBytes: 1_000, idleTimeoutMs: 1_000 }],
  ])('%s with %o', (listen, options) => {
    expect(() => check(listen, options)).not.toThrow()
  })

  it('an object of a class as a protocol', () => {
    class Mine {
      input(): number {
        return 0
      }
      decode(): string {
        return ''
      }
      encode(): string {
        return ''
      }
    }
    expect(() => check('tcp://127.0.0.1:0', { protocol: new Mine() })).not.toThrow()
  })
})

const TEXT = 'text://127.0.0.1:0'
const WHOLE = (min: number, max: number): string => `It must be a whole number from ${min} to ${max}.`
const BYTES = 'Change the address to tcp://…, tls://… or tcp+unix:///…, or remove protocol.'

describe('is refused, with what to write instead', () => {
  it.each([
    [TEXT, { maxMessageBytes: -1 }, 'maxMessageBytes is -1', WHOLE(0, Number.MAX_SAFE_INTEGER)],
    [TEXT, { maxMessageBytes: '1k' }, 'maxMessageBytes is "1k"', WHOLE(0, Number.MAX_SAFE_INTEGER)],
    [TEXT, { maxSendBufferBytes: 0 }, 'maxSendBufferBytes is 0', WHOLE(1, Number.MAX_SAFE_INTEGER)],
    [TEXT, { idleTimeoutMs: 2 ** 31 }, 'idleTimeoutMs is 2147483648', WHOLE(0, 2 ** 31 - 1)],
    [TEXT, { heartbeat: 1_000 }, 'heartbeat is 1000', 'It must be an object of everyMs, maxMissed, data.'],
    [TEXT, { heartbeat: { every: 1 } }, 'heartbeat has an unknown member "every"', 'Did you mean "everyMs"?'],
  ])('%s with %o', (listen, options, what, hint) => {
    expect(() => check(listen, options)).toThrow(new ShiftworkError('ERR_OPTION', `Worker "web": ${what}`, { hint }))
  })

  it.each([
    [
      TEXT,
      { heartbeat: { data: 'ping' } },
      ': heartbeat has no everyMs',
      'Write how often a silent client is asked: heartbeat: { everyMs: 30_000 }.',
    ],
    [
      TEXT,
      { heartbeat: { everyMs: 30_000 } },
      ': heartbeat has no data',
      "text:// has no ping of its own: write what is sent, heartbeat: { everyMs: 30_000, data: 'ping' }.",
    ],
    [
      'http://127.0.0.1:0',
      { heartbeat: { everyMs: 1 } },
      ' has a heartbeat, which http does not know',
      'Remove it, or speak websocket, text, frame or tcp.',
    ],
    [
      undefined,
      { heartbeat: { everyMs: 1 } },
      ' has a heartbeat, which no listener does not know',
      'Remove it, or speak websocket, text, frame or tcp.',
    ],
    [
      'tcp://127.0.0.1:0',
      { protocol: { ...CODEC, encode: null } },
      ': protocol is an object without encode',
      'It is an object with three functions: input, decode and encode.',
    ],
    [
      'tcp://127.0.0.1:0',
      { protocol: 'text' },
      ': protocol is "text" without input',
      'It is an object with three functions: input, decode and encode.',
    ],
    ['text://127.0.0.1:0', { protocol: CODEC }, ' has a protocol of its own, but not on top of bytes', BYTES],
    [undefined, { protocol: CODEC }, ' has a protocol of its own, but not on top of bytes', BYTES],
  ])('%s with %o', (listen, options, what, hint) => {
    expect(() => check(listen, options)).toThrow(new ShiftworkError('ERR_OPTION', `Worker "web"${what}`, { hint }))
  })

  it.each([0, 1.5, -1])('a heartbeat every %s ms', (everyMs) => {
    expect(() => check(TEXT, { heartbeat: { everyMs, data: 'x' } })).toThrow(`everyMs is ${everyMs}`)
  })
})
