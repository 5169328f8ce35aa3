/** A line of the log, written and read again: nothing that a text holds makes two entries of one. */
import { describe, expect, it } from 'vitest'
import { createLog, decodeEntry, EntryReader, encodeEntry, type LogLine, printable } from '../../src/log.ts'

const AT = new Date('2026-03-04T12:00:00.123Z')

function line(text: string, changes: Partial<LogLine> = {}): LogLine {
  return { at: AT, level: 'info', text, fields: {}, ...changes }
}

function read(text: string): unknown[] {
  const reader = new EntryReader()
  const entries = text.split('\n').flatMap((one) => (one === '' ? [] : reader.push(one)))
  return [...entries, ...reader.flush()]
}

describe('text', () => {
  it.each<[LogLine, string]>([
    [line('web/0 serves'), '2026-03-04T12:00:00.123Z info  web/0 serves\n'],
    [line('killed', { level: 'warn', fields: { event: 'kill' } }), '2026-03-04T12:00:00.123Z warn  killed\n'],
    [line('failed: x\n  at y', { level: 'error' }), '2026-03-04T12:00:00.123Z error failed: x\n      at y\n'],
  ])('%o', (entry, expected) => {
    expect(encodeEntry(entry, 'text')).toBe(expected)
  })

  it('a text that holds a log line stays one entry', () => {
    const forged = 'failed: x\n2026-03-04T12:00:00.123Z info  stopped'
    const text = encodeEntry(line(forged), 'text')
    expect(text.match(/^\S/gm)).toHaveLength(1)
    expect(read(text)).toEqual([{ at: AT.toISOString(), level: 'info', text: forged }])
  })
})

describe('json', () => {
  it('is one object on one line, with the fields', () => {
    const text = encodeEntry(line('a\n  b', { level: 'error', fields: { event: 'failed', pid: 7 } }), 'json')
    expect(text).toBe('{"at":"2026-03-04T12:00:00.123Z","level":"error","text":"a\\n  b","event":"failed","pid":7}\n')
    expect(read(text)).toEqual([{ at: AT.toISOString(), level: 'error', text: 'a\n  b', event: 'failed', pid: 7 }])
  })
})

describe('printable', () => {
  it.each([
    ['\u001b[31mred\u001b[0m', 'red'],
    ['over\rwritten', 'over\\x0dwritten'],
    ['a\r\nb\n\n', 'a\nb'],
    ['\ttab', '\ttab'],
    ['bell\u0007 next\u0085 line\u2028 feed\u000b\u000c.', 'bell\\x07 next\\x85 line\\u2028 feed\\x0b\\x0c.'],
    ['\u001b alone', '\\x1b alone'],
    ['Grüße 你好 👍', 'Grüße 你好 👍'],
  ])('%j', (text, expected) => {
    expect(printable(text)).toBe(expected)
    expect(printable(expected)).toBe(expected)
  })
})

it('a log makes each line printable, of a bounded length, with its fields', () => {
  const written: LogLine[] = []
  const log = createLog((entry) => written.push(entry), { a: 1 })
  log.with({ b: 2 }).warn('x\r')
  log.error('y'.repeat(100_000))
  expect(written[0]).toMatchObject({ level: 'warn', text: 'x', fields: { a: 1, b: 2 } })
  expect(written[1]?.text).toMatch(/^y{65536}… \(34464 characters more\)$/)
  expect(written[1]?.fields).toEqual({ a: 1 })
})

const PIECES = [
  '\n',
  '\r\n',
  '    ',
  '{"at":',
  '2026-03-04T12:00:00.123Z info  x',
  '\u001b[2K',
  'ä',
  '\t',
  ' ',
  '}',
  '"',
]

it('whatever the texts are, the same entries are read again, in both formats', () => {
  let seed = 1
  const next = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let round = 0; round < 300; round++) {
    const texts = Array.from({ length: 5 }, () =>
      printable(Array.from({ length: next(8) }, () => PIECES[next(PIECES.length)]).join('')),
    )
    for (const format of ['text', 'json'] as const) {
      const file = texts.map((text) => encodeEntry(line(text), format)).join('')
      expect(read(file)).toEqual(texts.map((text) => ({ at: AT.toISOString(), level: 'info', text })))
    }
  }
})

describe('a line that the runtime has not written', () => {
  it.each(['hello', '{"at":1}', '{broken', '2026-03-04 info x', '    at a stack', '{}', 'null'])('%j', (foreign) => {
    expect(decodeEntry(foreign)).toBeNull()
    expect(read(`${foreign}\n`)).toEqual([{ at: null, level: null, text: foreign }])
  })

  it('keeps what is indented below it', () => {
    expect(read('Error: x\n    at y\n')).toEqual([{ at: null, level: null, text: 'Error: x\nat y' }])
  })
})
