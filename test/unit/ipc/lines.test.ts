/** JSON over a stream: however it is cut into chunks, the same values come out, and garbage is told, not thrown. */
import { describe, expect, it } from 'vitest'
import { type Decoded, encodeLine, LineDecoder } from '../../../src/ipc/lines.ts'
import { Random } from '../random.ts'

const VALUES = [{ command: 'reload', groups: ['wéb', '工'] }, 'a\nb\u2028', null, [1, { emoji: '🐘' }], 0.5]
const STREAM = Buffer.from(VALUES.map(encodeLine).join(''))

function decodeAll(decoder: LineDecoder, chunks: readonly Buffer[]): Decoded[] {
  return chunks.flatMap((chunk) => decoder.push(chunk))
}

function values(decoded: readonly Decoded[]): unknown[] {
  return decoded.map((line) => (line.ok ? line.value : line.reason))
}

describe('LineDecoder', () => {
  it('gives the same values wherever the stream is cut, also within a character', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const chunks = [STREAM.subarray(0, cut), STREAM.subarray(cut)]
      expect(values(decodeAll(new LineDecoder(1_000), chunks)), `cut at ${cut}`).toEqual(VALUES)
    }
  })

  it('gives the same values byte by byte, and in random pieces', () => {
    const bytes = Array.from(STREAM, (byte) => Buffer.of(byte))
    expect(values(decodeAll(new LineDecoder(1_000), bytes))).toEqual(VALUES)
    const random = new Random(7)
    for (let round = 0; round < 100; round++) {
      const chunks: Buffer[] = []
      for (let at = 0; at < STREAM.length; ) {
        const end = at + random.int(0, 20)
        chunks.push(STREAM.subarray(at, end))
        at = end
      }
      expect(values(decodeAll(new LineDecoder(1_000), chunks))).toEqual(VALUES)
    }
  })

  it('gives nothing before the line feed', () => {
    const decoder = new LineDecoder(100)
    expect(decoder.push(Buffer.from('{"a":1}'))).toEqual([])
    expect(decoder.push(Buffer.from('\n'))).toEqual([{ ok: true, value: { a: 1 } }])
  })

  it.each([
    ['not json', 'hello'],
    ['an empty line', ''],
    ['binary', '\u0000\u0001\u007f'],
    ['half a value', '{"a":'],
    ['two values', '1 2'],
  ])('tells %s, and goes on with the next line', (_, text) => {
    expect(new LineDecoder(100).push(Buffer.from(`${text}\n{"a":1}\n`))).toEqual([
      { ok: false, reason: 'not-json' },
      { ok: true, value: { a: 1 } },
    ])
  })

  it('takes a line of just the longest length, and no byte more', () => {
    const longest = JSON.stringify('x'.repeat(8))
    expect(new LineDecoder(10).push(Buffer.from(`${longest}\n`))).toEqual([{ ok: true, value: 'xxxxxxxx' }])
    expect(new LineDecoder(9).push(Buffer.from(`${longest}\n`))).toEqual([{ ok: false, reason: 'too-long' }])
  })

  it('tells of a line that is too long before it ends, so that nobody can fill the memory with one', () => {
    const decoder = new LineDecoder(100)
    const chunk = Buffer.alloc(30, 'x')
    expect([1, 2, 3, 4].map(() => values(decoder.push(chunk)))).toEqual([[], [], [], ['too-long']])
  })
})

it('encodeLine makes one line of any value', () => {
  for (const value of VALUES) expect(encodeLine(value).indexOf('\n')).toBe(encodeLine(value).length - 1)
})
