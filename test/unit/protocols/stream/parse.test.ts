/** What was read and not understood yet: cut into messages wherever the packets end, with few copies. */
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../../../src/protocols/connection.ts'
import { FRAME } from '../../../../src/protocols/stream/frame.ts'
import {
  append,
  createParseState,
  type ParseState,
  take,
  waiting,
  waitingBytes,
} from '../../../../src/protocols/stream/parse.ts'
import type { Protocol } from '../../../../src/protocols/stream/protocol.ts'
import { TEXT } from '../../../../src/protocols/stream/text.ts'
import { Random } from '../../random.ts'

const NOBODY = undefined as unknown as Connection<never>

/** What a connection does with each chunk: all messages that are whole. */
function takeWhole(state: ParseState, codec: Protocol<unknown, never>): Buffer[] {
  const taken: Buffer[] = []
  while (waitingBytes(state) > 0) {
    if (state.need === 0) {
      const bytes = waiting(state)
      state.need = codec.input(bytes, NOBODY, state.seen)
      state.seen = bytes.length
    }
    if (state.need === 0 || waitingBytes(state) < state.need) break
    taken.push(take(state))
  }
  return taken
}

describe.each([
  ['text', TEXT, (text: string) => Buffer.from(`${text}\n`)],
  ['frame', FRAME, (text: string) => FRAME.encode(text, NOBODY as never) as Buffer],
] as const)('%s', (_name, codec, encode) => {
  it('a stream comes out as the same messages, however it is cut, and none is changed afterwards', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed)
      const below = (limit: number): number => random.int(0, limit - 1)
      const messages = Array.from({ length: 1 + below(30) }, () => encode('x'.repeat(below(below(4) === 0 ? 900 : 20))))
      const stream = Buffer.concat(messages)
      const state = createParseState()
      const taken: Buffer[] = []
      for (let at = 0; at < stream.length; ) {
        const length = 1 + below(below(3) === 0 ? 500 : 4)
        append(state, Buffer.from(stream.subarray(at, at + length)))
        taken.push(...takeWhole(state, codec as Protocol<unknown, never>))
        at += length
      }
      expect(taken, `seed ${seed}`).toEqual(messages)
      expect(waitingBytes(state)).toBe(0)
    }
  })
})

it('bytes that come one by one are seldom copied', () => {
  const state = createParseState()
  const rooms = new Set<Buffer>()
  for (let count = 0; count < 100_000; count++) {
    append(state, Buffer.of(count))
    rooms.add(state.buffer)
  }
  expect(waitingBytes(state)).toBe(100_000)
  expect(rooms.size).toBeLessThan(25)
  expect(waiting(state)).toEqual(Buffer.from(Array.from({ length: 100_000 }, (_, count) => count & 0xff)))
})

it('no room is made for a length that is only claimed', () => {
  const state = createParseState()
  append(state, Buffer.from([0, 0x98, 0x96, 0x80, 1]))
  state.need = FRAME.input(waiting(state), NOBODY as never, 0)
  append(state, Buffer.alloc(5))
  expect(state.need).toBe(10_000_000)
  expect(state.buffer.length).toBeLessThanOrEqual(20)
})

it('what came whole in one packet is not copied', () => {
  const state = createParseState()
  const chunk = Buffer.from('one\ntwo\n')
  append(state, chunk)
  for (const message of takeWhole(state, TEXT as Protocol<unknown, never>)) expect(message.buffer).toBe(chunk.buffer)
})
