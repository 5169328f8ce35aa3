/**
 * Reads a log from its end and then what is appended, across rotation and truncation, like `tail -F`.
 * Looks with stat(2) whenever it is asked to read: a watch follows an inode and not a name, tells
 * nothing on network file systems, and is refused when the system has too many; a look always works.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { systemCode } from '../errors.ts'

const BLOCK_BYTES = 64 * 1024
/** Our own lines are shorter; of a file without line feeds no more than this is held. */
const MAX_LINE_BYTES = 1024 * 1024
const LINE_FEED = 0x0a
const SPACE = 0x20

interface OpenFile {
  readonly fd: number
  readonly dev: bigint
  readonly ino: bigint
  position: number
  /** The beginning of a line whose end is not written yet. */
  rest: Buffer
}

export class Tail {
  readonly #find: () => string
  /** The one that is read, then those that have taken its name since. */
  readonly #files: OpenFile[] = []
  /** Why the file that has the name now cannot be read, or null. */
  problem: string | null = null

  /** @param find the path, asked for at each look: a restart may move the log. */
  constructor(find: () => string) {
    this.#find = find
  }

  /**
   * Begins with the last `entries`: lines that are indented belong to the one above.
   * @throws a system error when there is no such file.
   */
  open(entries: number): void {
    const file = openFile(this.#find())
    file.position = lastEntriesAt(file.fd, Number(fstatSync(file.fd).size), entries)
    this.#files.push(file)
  }

  /** The whole lines that were written since, a block at a time; ends when there is no more for now. */
  *read(): Generator<string[]> {
    this.#lookForNext()
    for (;;) {
      const [file, next] = this.#files
      if (!file) return
      // who writes has gone over to the next file only when something is in it; looked at before the last read
      const isOver = next !== undefined && (this.#files.length > 2 || fstatSync(next.fd).size > 0)
      yield* readOn(file)
      if (!isOver) return
      yield restOf(file)
      closeSync(file.fd)
      this.#files.shift()
    }
  }

  /** The last line, if its line feed is missing. */
  rest(): string[] {
    return this.#files.flatMap(restOf)
  }

  close(): void {
    for (const file of this.#files.splice(0)) closeSync(file.fd)
  }

  #lookForNext(): void {
    try {
      const path = this.#find()
      const { dev, ino } = statSync(path, { bigint: true })
      const isKnown = this.#files.some((file) => file.dev === dev && file.ino === ino)
      if (!isKnown) this.#files.push(openFile(path))
      this.problem = null
    } catch (error) {
      // between a rename and a new file there is none: what is open goes on
      this.problem = systemCode(error) === 'ENOENT' ? null : String(error)
    }
  }
}

function openFile(path: string): OpenFile {
  const fd = openSync(path, 'r')
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return { fd, dev, ino, position: 0, rest: Buffer.alloc(0) }
}

function* readOn(file: OpenFile): Generator<string[]> {
  for (;;) {
    // truncated, as copytruncate does: it begins anew
    if (fstatSync(file.fd).size < file.position) {
      yield restOf(file)
      file.position = 0
    }
    const block = Buffer.allocUnsafe(BLOCK_BYTES)
    const bytes = readSync(file.fd, block, 0, block.length, file.position)
    if (bytes === 0) return
    file.position += bytes
    yield cutLines(file, block.subarray(0, bytes))
  }
}

function cutLines(file: OpenFile, block: Buffer): string[] {
  const end = block.lastIndexOf(LINE_FEED)
  if (end < 0 && file.rest.length + block.length < MAX_LINE_BYTES) {
    file.rest = Buffer.concat([file.rest, block])
    return []
  }
  const whole = end < 0 ? block : block.subarray(0, end)
  const text = Buffer.concat([file.rest, whole]).toString('utf8')
  file.rest = end < 0 ? Buffer.alloc(0) : Buffer.from(block.subarray(end + 1))
  return text.split('\n')
}

function restOf(file: OpenFile): string[] {
  const text = file.rest.toString('utf8')
  file.rest = Buffer.alloc(0)
  return text === '' ? [] : [text]
}

/** Where the last `count` entries of a file begin, found from its end; for 0, the end of its last whole line. */
export function lastEntriesAt(fd: number, size: number, count: number): number {
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  let found = 0
  /** The byte behind the one that is looked at; none at the end of the file: no line begins there. */
  let behind: number | null = null
  for (let end = size; end > 0; end -= BLOCK_BYTES) {
    const start = Math.max(0, end - BLOCK_BYTES)
    const bytes = readSync(fd, block, 0, end - start, start)
    for (let at = bytes - 1; at >= 0; at--) {
      const byte = block[at] ?? 0
      if (byte === LINE_FEED && count === 0) return start + at + 1
      if (byte === LINE_FEED && behind !== null && behind !== SPACE && ++found === count) return start + at + 1
      behind = byte
    }
  }
  return 0
}
