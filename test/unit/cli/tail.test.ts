/** The end of a log and what follows, across every kind of rotation: each line once, in order. */
import {
  appendFileSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { lastEntriesAt, Tail } from '../../../src/cli/tail.ts'
import { temporaryDirectory } from '../tempdir.ts'

function logOf(text: string): string {
  const path = join(temporaryDirectory(), 'a.log')
  writeFileSync(path, text)
  return path
}

function openTail(find: () => string, entries: number): Tail {
  const tail = new Tail(find)
  tail.open(entries)
  onTestFinished(() => tail.close())
  return tail
}

function linesOf(tail: Tail): string[] {
  return [...tail.read()].flat()
}

describe('begins', () => {
  const TEXT = 'a\nb\n    b2\n    b3\nc\nd\n    d2\n'

  it.each<[count: number, text: string, first: string]>([
    [0, TEXT, ''],
    [1, TEXT, 'd\n    d2\n'],
    [2, TEXT, 'c\nd\n    d2\n'],
    [3, TEXT, 'b\n    b2\n    b3\nc\nd\n    d2\n'],
    [4, TEXT, TEXT],
    [9, TEXT, TEXT],
    [1, '', ''],
    [0, '', ''],
    [1, 'a\nno end', 'no end'],
    [0, 'a\nno end', 'no end'],
    [2, '\n\n\n', '\n\n'],
    [1, '    only\n    these\n', '    only\n    these\n'],
  ])('%i of %j', (count, text, rest) => {
    const fd = openSync(logOf(text), 'r')
    expect(text.slice(lastEntriesAt(fd, Buffer.byteLength(text), count))).toBe(rest)
    closeSync(fd)
  })

  it('at the right place in a file of several blocks', () => {
    const lines = Array.from({ length: 40_000 }, (_, index) => `${index} äöü`)
    const path = logOf(`${lines.join('\n')}\n`)
    expect(linesOf(openTail(() => path, 30_000))).toEqual(lines.slice(-30_000))
    expect(linesOf(openTail(() => path, 50))).toEqual(lines.slice(-50))
  })

  it('near the end of a file of a gigabyte without reading it', () => {
    const path = logOf('')
    const fd = openSync(path, 'r+')
    ftruncateSync(fd, 1024 ** 3)
    writeSync(fd, '\n1\n2\n', 1024 ** 3)
    const { size } = fstatSync(fd)
    closeSync(fd)
    expect(size).toBe(1024 ** 3 + 5)
    expect(linesOf(openTail(() => path, 2))).toEqual(['1', '2'])
  })

  it('nowhere when there is no file', () => {
    expect(() => openTail(() => '/nowhere/a.log', 1)).toThrow('ENOENT')
  })
})

describe('goes on', () => {
  it('with whole lines only, whatever pieces they come in', () => {
    const path = logOf('')
    const tail = openTail(() => path, 0)
    const bytes = Buffer.from('één\ntwee\ndrie')
    const seen: string[] = []
    for (const byte of bytes) {
      appendFileSync(path, Buffer.from([byte]))
      seen.push(...linesOf(tail))
    }
    expect(seen).toEqual(['één', 'twee'])
    expect(tail.rest()).toEqual(['drie'])
  })

  it('in the old file until something is in the new one, when it was renamed', () => {
    const path = logOf('1\n')
    const writer = openSync(path, 'a')
    const tail = openTail(() => path, 1)
    expect(linesOf(tail)).toEqual(['1'])
    renameSync(path, `${path}.1`)
    writeSync(writer, '2\n')
    expect(linesOf(tail)).toEqual(['2'])
    // logrotate's "create": the new file is there before the writer knows
    writeFileSync(path, '')
    expect(linesOf(tail)).toEqual([])
    writeSync(writer, '3\n4')
    expect(linesOf(tail)).toEqual(['3'])
    closeSync(writer)
    appendFileSync(path, '5\n')
    expect(linesOf(tail)).toEqual(['4', '5'])
    appendFileSync(path, '6\n')
    expect(linesOf(tail)).toEqual(['6'])
  })

  it('in order, when it was rotated again before anybody wrote', () => {
    const path = logOf('1\n')
    const tail = openTail(() => path, 0)
    renameSync(path, `${path}.1`)
    writeFileSync(path, '')
    expect(linesOf(tail)).toEqual([])
    renameSync(path, `${path}.2`)
    writeFileSync(path, '4\n')
    appendFileSync(`${path}.1`, '2\n')
    appendFileSync(`${path}.2`, '3\n')
    expect(linesOf(tail)).toEqual(['2', '3', '4'])
  })

  it('at the beginning, when it was truncated or replaced', () => {
    const path = logOf('1\n2\n')
    const tail = openTail(() => path, 1)
    expect(linesOf(tail)).toEqual(['2'])
    truncateSync(path)
    expect(linesOf(tail)).toEqual([])
    appendFileSync(path, '3\n')
    expect(linesOf(tail)).toEqual(['3'])
    rmSync(path)
    expect(linesOf(tail)).toEqual([])
    writeFileSync(path, '4\n')
    expect(linesOf(tail)).toEqual(['4'])
  })

  it('in another file, when a restart moved the log', () => {
    const [first, second] = [logOf('1\n'), logOf('2\n')]
    let path = first
    const tail = openTail(() => path, 1)
    expect(linesOf(tail)).toEqual(['1'])
    path = second
    expect(linesOf(tail)).toEqual(['2'])
  })

  it('without holding a line that never ends', () => {
    const path = logOf('x'.repeat(3 * 1024 * 1024))
    const tail = openTail(() => path, 1)
    const pieces = linesOf(tail)
    expect(pieces.length).toBeGreaterThan(1)
    expect([...pieces, ...tail.rest()].join('')).toHaveLength(3 * 1024 * 1024)
  })

  it('and tells what it cannot read', () => {
    const path = logOf('1\n')
    let now = path
    const tail = openTail(() => now, 1)
    now = join(path, 'below-a-file')
    expect(linesOf(tail)).toEqual(['1'])
    expect(tail.problem).toMatch(/ENOTDIR/)
    now = path
    linesOf(tail)
    expect(tail.problem).toBeNull()
  })
})
