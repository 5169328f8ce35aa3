/**
 * The lines of an operation under way: one per worker, kept in place on a terminal; elsewhere one
 * line for each step that matters, so that a log of it reads well.
 */
import type { HookOutput, Progress } from '../ipc/messages.ts'
import { duration } from '../words.ts'
import { type Paint, paintFor } from './terminal.ts'
import { fitText, withoutControl } from './text.ts'

type Describe = (progress: Progress) => string | null

const SHOWN_IN_LOGS: ReadonlySet<Progress['state']> = new Set(['serving', 'left', 'failed'])
const DEFAULT_ROWS = 24
const CLEAR_LINE = '\u001b[2K'

export class ProgressBoard {
  readonly #stream: NodeJS.WriteStream
  readonly #describe: Describe
  readonly #paint: Paint
  /** What each worker's old and new process last did, in the order they were first seen. */
  readonly #rows = new Map<string, { fresh: string; old: string }>()
  #drawn = 0

  constructor(stream: NodeJS.WriteStream, describe: Describe) {
    this.#stream = stream
    this.#describe = describe
    this.#paint = paintFor(stream)
  }

  show(progress: Progress | HookOutput): void {
    if (progress.type === 'output') {
      // what is drawn stays where it is, and goes on below
      this.#drawn = 0
      this.#stream.write(
        `${this.#paint.dim(`${progress.source} │`)} ${fitText(progress.text, Number.POSITIVE_INFINITY)}\n`,
      )
      return
    }
    const text = this.#describe(progress)
    if (text === null) return
    const slot = `${progress.name}/${progress.id}`
    if (!this.#stream.isTTY || this.#isTooTall(slot)) {
      if (SHOWN_IN_LOGS.has(progress.state)) this.#stream.write(`${slot} ${text}\n`)
      return
    }
    const row = this.#rows.get(slot) ?? { fresh: '', old: '' }
    const isOld = progress.state === 'draining' || progress.state === 'left'
    if (isOld && progress.hasServed !== false) row.old = text
    else row.fresh = progress.state === 'failed' ? this.#paint.red(text) : text
    this.#rows.set(slot, row)
    this.#draw()
  }

  /** More lines than the terminal has cannot be drawn over. */
  #isTooTall(slot: string): boolean {
    return this.#rows.size + (this.#rows.has(slot) ? 0 : 1) >= (this.#stream.rows || DEFAULT_ROWS)
  }

  /** Leaves the lines as they are; what is printed next stands below them. */
  end(): void {
    this.#drawn = 0
    this.#rows.clear()
  }

  #draw(): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : ''
    const width = this.#stream.columns ?? 80
    const lines = [...this.#rows].map(([slot, row]) => {
      const steps = [row.fresh, row.old].filter((step) => step !== '').join(this.#paint.dim(', '))
      // a line that wraps could not be drawn over
      return CLEAR_LINE + fitText(`${this.#paint.bold(slot)} ${steps}`, width - 1)
    })
    this.#stream.write(`${up}${lines.join('\n')}\n`)
    this.#drawn = lines.length
  }
}

const MAX_DETAIL = 100

/** The beginning of a message: some say only in their second line what is wrong. */
function oneLine(text: string): string {
  const joined = withoutControl(text.replaceAll(/\s*\n\s*/g, ' '))
  return joined.length > MAX_DETAIL ? `${joined.slice(0, MAX_DETAIL)}…` : joined
}

/** The successor that a failed reload takes back, for one: it must not read like one of those that served. */
function onlyTried({ hasServed }: Progress): string {
  return hasServed === false ? ', which had not served,' : ''
}

/** What a person reads of one step; null: not worth a line. */
export function describeProgress(progress: Progress): string | null {
  const after = duration(progress.ms)
  switch (progress.state) {
    case 'starting':
      return `pid ${progress.pid} starts`
    case 'prepared':
      return `pid ${progress.pid} is ready after ${after}`
    case 'serving':
      return `pid ${progress.pid} serves generation ${progress.generation} after ${after}`
    case 'draining':
      return `pid ${progress.pid}${onlyTried(progress)} drains`
    case 'left':
      return `pid ${progress.pid}${onlyTried(progress)} left after ${after}`
    case 'failed':
      return `pid ${progress.pid} failed: ${oneLine(progress.detail ?? '')}`
    case 'retrying':
      return `tries again`
  }
}
