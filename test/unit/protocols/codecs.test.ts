/** The codecs of ours: what is a message, and what is on the wire. */
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../../src/protocols/connection.ts'
import { FRAME } from '../../../src/protocols/stream/frame.ts'
import { TCP } from '../../../src/protocols/stream/tcp.ts'
import { TEXT } from '../../../src/protocols/stream/text.ts'

const NOBODY = undefined as unknown as Connection<never>

describe('text', () => {
  it.each([
    ['a\n', 2],
    ['\n', 1],
    ['\r\n', 2],
    ['a', 0],
    ['a\r', 0],
    ['a\nb\n', 2],
    ['ü\n', 3],
  ])('the first line of %j takes %i bytes', (text, bytes) => {
    expect(TEXT.input(Buffer.from(text), NOBODY, 0)).toBe(bytes)
  })

  it('does not search what it has seen', () => {
    expect(TEXT.input(Buffer.from('a\nb\n'), NOBODY, 2)).toBe(4)
  })

  it.each([
    ['a\n', 'a'],
    ['a\r\n', 'a'],
    ['\n', ''],
    ['\r\n', ''],
    ['\r\r\n', '\r'],
    ['a\rb\n', 'a\rb'],
    ['grüße €\n', 'grüße €'],
  ])('%j is the line %j', (text, line) => {
    expect(TEXT.decode(Buffer.from(text), NOBODY)).toBe(line)
  })

  it('bytes that are no UTF-8 become a sign that says so', () => {
    expect(TEXT.decode(Buffer.from([0xff, 0x0a]), NOBODY)).toBe('\ufffd')
  })

  it('a line is sent with an LF', () => {
    expect(TEXT.encode('a', NOBODY)).toBe('a\n')
  })
})

describe('frame', () => {
  it.each([
    [[], 0],
    [[0, 0, 0], 0],
    [[0, 0, 0, 4], 4],
    [[0, 0, 1, 0, 1], 256],
    [[0xff, 0xff, 0xff, 0xff], 0xffff_ffff],
  ])('the head %j says %i', (bytes, length) => {
    expect(FRAME.input(Buffer.from(bytes), NOBODY, 0)).toBe(length)
  })

  it.each([0, 1, 2, 3])('a frame of %i bytes makes no sense', (length) => {
    expect(() => FRAME.input(Buffer.of(0, 0, 0, length), NOBODY, 0)).toThrow(
      `a frame says that it has ${length} bytes, its head alone has 4`,
    )
  })

  it('its message is what stands behind the head, without a copy', () => {
    const frame = Buffer.of(0, 0, 0, 6, 7, 8)
    const message = FRAME.decode(frame, NOBODY)
    expect([...message]).toEqual([7, 8])
    expect(message.buffer).toBe(frame.buffer)
  })

  it.each([
    ['', [0, 0, 0, 4]],
    ['ü', [0, 0, 0, 6, 0xc3, 0xbc]],
    [Uint8Array.of(1, 2), [0, 0, 0, 6, 1, 2]],
  ])('%j is sent behind its length in bytes', (value, bytes) => {
    expect([...Buffer.from(FRAME.encode(value, NOBODY) as Uint8Array)]).toEqual(bytes)
  })

  it('what it sends it can read', () => {
    const sent = FRAME.encode('x'.repeat(70_000), NOBODY) as Buffer
    expect(FRAME.input(sent, NOBODY, 0)).toBe(sent.length)
    expect(FRAME.decode(sent, NOBODY).toString()).toBe('x'.repeat(70_000))
  })
})

it('tcp hands bytes on as they are', () => {
  const bytes = Buffer.from('abc')
  expect(TCP.input(bytes, NOBODY, 0)).toBe(3)
  expect(TCP.decode(bytes, NOBODY)).toBe(bytes)
  expect(TCP.encode(bytes, NOBODY)).toBe(bytes)
  expect(TCP.isUnbounded).toBe(true)
})
