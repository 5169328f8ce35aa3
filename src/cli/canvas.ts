/**
 * The terminal as one picture that is drawn again and again: the alternate screen, no cursor, no
 * wrapping, keys as they are pressed. It knows nothing of what it shows. However the process ends, but
 * for SIGKILL, the terminal is given back as it was.
 */
import { textWidth } from './text.ts'

export interface CanvasEvents {
  /** One key, as the terminal sends it: `q`, `\u0003` for Ctrl-C. */
  key(key: string): void
  /** The size is another one, or the picture was lost: it wants to be drawn. */
  redraw(): void
  /** The terminal went away. */
  lost(): void
}

const DEFAULT_SIZE = { columns: 80, rows: 24 }
const CTRL_Z = '\u001a'
const ESCAPE = '\u001b'
// alternate screen, cursor, wrapping: xterm's private modes, see ctlseqs
const ENTER = `${ESCAPE}[?1049h${ESCAPE}[?25l${ESCAPE}[?7l`
const LEAVE = `${ESCAPE}[?7h${ESCAPE}[?25h${ESCAPE}[?1049l`
const CLEAR_LINE_END = `${ESCAPE}[K`
const CLEAR_BELOW = `${ESCAPE}[J`

/** True when the stream is a terminal that can be drawn on. */
export function canDrawOn(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && process.env['TERM'] !== 'dumb'
}

export class Canvas {
  readonly #input: NodeJS.ReadStream | null
  readonly #output: NodeJS.WriteStream
  readonly #events: CanvasEvents
  #isOpen = false

  /** @param input null, or no terminal: there are no keys. */
  constructor(input: NodeJS.ReadStream | null, output: NodeJS.WriteStream, events: CanvasEvents) {
    this.#input = input?.isTTY ? input : null
    this.#output = output
    this.#events = events
  }

  get hasKeys(): boolean {
    return this.#input !== null
  }

  get size(): { columns: number; rows: number } {
    // a terminal without a size says 0
    return {
      columns: this.#output.columns || DEFAULT_SIZE.columns,
      rows: this.#output.rows || DEFAULT_SIZE.rows,
    }
  }

  open(): void {
    this.#output.on('resize', this.#events.redraw).on('error', this.#events.lost)
    this.#input?.on('data', this.#onData).on('end', this.#events.lost).on('error', this.#events.lost)
    process.on('SIGCONT', this.#onContinue).on('exit', this.#leave)
    this.#enter()
  }

  close(): void {
    this.#leave()
    process.off('SIGCONT', this.#onContinue).off('exit', this.#leave)
    this.#input?.off('data', this.#onData).off('end', this.#events.lost).off('error', this.#events.lost).pause()
    this.#output.off('resize', this.#events.redraw).off('error', this.#events.lost)
  }

  /** Draws over the last picture, in one write: at most as many lines as there are rows, none too wide. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return
    const { columns, rows } = this.size
    const drawn = lines.map((line, index) => {
      // behind the last column the cursor stands on it: clearing to the end would take the letter there
      const end = textWidth(line) < columns ? CLEAR_LINE_END : ''
      return at(index + 1) + line + end
    })
    const below = lines.length < rows ? at(lines.length + 1) + CLEAR_BELOW : ''
    this.#output.write(drawn.join('') + below)
  }

  #enter(): void {
    this.#isOpen = true
    // off first: who was stopped and goes on has lost the mode without being told
    this.#input?.setRawMode(false).setRawMode(true).resume()
    this.#output.write(ENTER)
  }

  readonly #leave = (): void => {
    if (!this.#isOpen) return
    this.#isOpen = false
    // where there is no alternate screen (the Linux console) the prompt comes below the picture
    this.#output.write(`${at(this.size.rows)}\r\n${LEAVE}`)
    this.#input?.setRawMode(false)
  }

  readonly #onData = (chunk: Buffer | string): void => {
    const text = String(chunk)
    // an arrow or function key: a sequence that may hold any letter
    if (text.startsWith(ESCAPE)) return
    for (const key of text) {
      if (key === CTRL_Z) this.#suspend()
      else this.#events.key(key)
    }
  }

  /** Raw keys send no signal: what Ctrl-Z would have sent, to all that stand in the foreground. */
  #suspend(): void {
    this.#leave()
    process.kill(0, 'SIGTSTP')
    // where no shell waits for it the kernel stops nobody (POSIX, an orphaned process group), and nobody continues it
    setImmediate(() => {
      if (!this.#isOpen) this.#onContinue()
    })
  }

  readonly #onContinue = (): void => {
    this.#enter()
    this.#events.redraw()
  }
}

function at(row: number): string {
  return `${ESCAPE}[${row};1H`
}
