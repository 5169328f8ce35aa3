/** Whether a frame may begin: over frames of every length, cut anywhere. */
import { describe, expect, it } from 'vitest'
import { Outgoing } from '../../../src/protocols/outgoing.ts'

const HEAD = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')

function frame(opcode: number, length: number): Buffer {
  const header =
    length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0, ...long(length)]
  // bytes that would look like close frames, were they taken for headers
  return Buffer.concat([Buffer.of(0x80 | opcode, ...header), Buffer.alloc(length, 0x88)])
}

function long(value: number): number[] {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return [...bytes]
}

function noted(...chunks: Uint8Array[]): Outgoing {
  const outgoing = new Outgoing()
  for (const chunk of chunks) outgoing.note(chunk)
  return outgoing
}

describe('the bytes that user code sends on a WebSocket', () => {
  it('begin with the answer to the handshake, byte by byte or with frames behind it', () => {
    const outgoing = new Outgoing()
    for (const byte of HEAD) {
      expect(outgoing.state).toBe('head')
      outgoing.note(Uint8Array.of(byte))
    }
    expect(outgoing.state).toBe('between')
    expect(noted(Buffer.concat([HEAD, frame(1, 3)])).state).toBe('between')
    expect(noted(Buffer.concat([HEAD, frame(1, 3).subarray(0, 4)])).state).toBe('within')
  })

  it('are no WebSocket when the answer is another one, or none', () => {
    expect(noted(Buffer.from('HTTP/1.1 401 Unauthorized\r\n\r\n'), frame(8, 0)).state).toBe('refused')
    expect(noted(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n\r\n')).state).toBe('refused')
    expect(noted(Buffer.alloc(70_000, 0x41)).state).toBe('refused')
  })

  it('are between two frames at their ends only, wherever they are cut', () => {
    const frames = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000].flatMap((length) => [frame(2, length), frame(1, 0)])
    const bytes = Buffer.concat(frames)
    const ends = new Set<number>([0])
    for (const { length } of frames) ends.add(Math.max(...ends) + length)
    for (const step of [1, 2, 3, 7, 1_000, 65_537]) {
      const outgoing = noted(HEAD)
      const wrong: number[] = []
      for (let at = 0; at < bytes.length; at += step) {
        outgoing.note(bytes.subarray(at, at + step))
        const passed = Math.min(at + step, bytes.length)
        if (outgoing.state !== (ends.has(passed) ? 'between' : 'within')) wrong.push(passed)
      }
      expect(wrong, `${step} at a time`).toEqual([])
    }
  })

  it('count a mask, and are over with a close frame, from its first byte on', () => {
    const masked = Buffer.of(0x81, 0x81, 1, 2, 3, 4, 0x41)
    expect(noted(HEAD, masked.subarray(0, 6)).state).toBe('within')
    expect(noted(HEAD, masked).state).toBe('between')
    expect(noted(HEAD, masked, Buffer.of(0x88)).state).toBe('closed')
    expect(noted(HEAD, frame(8, 2), frame(1, 5)).state).toBe('closed')
  })
})
