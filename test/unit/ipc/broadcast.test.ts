/** What a broadcast is on the wire, what may be on its way, and what is asked over it. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { decodeData, encodeData, MAX_BROADCAST_BYTES, resultOf, wireBytes } from '../../../src/ipc/broadcast.ts'
import { Calls } from '../../../src/ipc/calls.ts'
import { Window } from '../../../src/ipc/window.ts'
import { Random } from '../random.ts'

/** As Node's channel carries it. */
function overWire(data: string | Uint8Array): string | Buffer {
  return decodeData(JSON.parse(JSON.stringify(encodeData(data))))
}

describe('what is broadcast', () => {
  it.each(['', 'hello', 'ä\u0000\n\u2028', 'half a pair \ud800', '漢字 🙂'])('arrives as it was: %j', (text) => {
    expect(overWire(text)).toBe(text)
  })

  it('arrives as the same bytes, also from the middle of a buffer', () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    expect(overWire(all)).toEqual(Buffer.from(all))
    expect(overWire(all.subarray(250, 253))).toEqual(Buffer.of(250, 251, 252))
    expect(overWire(new Uint8Array())).toEqual(Buffer.alloc(0))
  })

  it('is refused when it is too long, or neither text nor bytes', () => {
    expect(wireBytes(encodeData('ä'.repeat(MAX_BROADCAST_BYTES / 2)))).toBe(MAX_BROADCAST_BYTES)
    expect(() => encodeData(`ä${'x'.repeat(MAX_BROADCAST_BYTES - 1)}`)).toThrow(
      expect.objectContaining({ code: 'ERR_MESSAGE_TOO_LARGE' }),
    )
    expect(() => encodeData(new Uint8Array(MAX_BROADCAST_BYTES + 1))).toThrow('at most')
    for (const data of [1, null, undefined, {}, [1], new ArrayBuffer(1)])
      expect(() => encodeData(data)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  })

  it('to a group that is not there is an error that names it', () => {
    expect(() => resultOf('web', null)).toThrow('There is no worker "web"')
  })
})

describe('a window', () => {
  it('never holds more than it may, and is empty when all is released, in 5 000 random steps', () => {
    const random = new Random(3)
    const window = new Window(10_000)
    const open = new Map<number, number>()
    for (let id = 1; id <= 5_000; id++) {
      const bytes = random.int(0, 3_000)
      const sum = [...open.values()].reduce((total, size) => total + size + 256, 0)
      expect(window.hasRoom(bytes)).toBe(sum + bytes + 256 <= 10_000)
      if (window.hasRoom(bytes)) {
        window.take(id, bytes)
        open.set(id, bytes)
      }
      if (random.chance(0.6) && open.size > 0) {
        const released = random.pick([...open.keys()])
        window.release(released)
        window.release(released)
        open.delete(released)
      }
    }
    for (const id of open.keys()) window.release(id)
    expect(window.hasRoom(10_000 - 256)).toBe(true)
    expect(window.hasRoom(10_000 - 255)).toBe(false)
  })
})

describe('calls', () => {
  it('settle once: by their answer, their deadline, or the end of who was asked', async () => {
    const calls = new Calls<string>()
    const questions: number[] = []
    const ask = (key: number, timeoutMs = 60_000): Promise<unknown> =>
      calls.ask(key, { send: (question) => void questions.push(question), timeoutMs })
    const all = [ask(1), ask(1), ask(2), ask(3, 1)]
    expect(new Set(questions).size).toBe(4)
    calls.answer(questions[1] ?? 0, 'yes')
    calls.answer(questions[1] ?? 0, 'no')
    calls.answer(999, 'to nobody')
    calls.forget(1)
    calls.answer(questions[0] ?? 0, 'too late')
    expect(await all[0]).toBe('gone')
    expect(await all[1]).toEqual({ answer: 'yes' })
    expect(await all[3]).toBe('late')
    let isOpen = true
    void all[2]?.then(() => {
      isOpen = false
    })
    await turn()
    expect(isOpen).toBe(true)
    calls.answer(questions[2] ?? 0, 'at last')
    expect(await all[2]).toEqual({ answer: 'at last' })
  })
})
