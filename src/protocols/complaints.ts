/**
 * What the output of a worker says of connections that have failed. What anybody on the network can bring about is one entry a
 * second of each listener at most, with how many were not shown: the first is written at once, of those that come
 * within a second of it the last, at its end.
 */
import { describeError } from '../errors.ts'
import { type Reporting, report } from './report.ts'

/** Whose connection it was. */
export interface Failing {
  readonly protocol: string
  readonly worker: Reporting
}

interface Complaint {
  what: string
  error: unknown
}

/** How much of an error the log shows: all, or one line of it. */
type Detail = 'stack' | 'line'

const EVERY_MS = 1_000
const MAX_LINE_LENGTH = 300

/** A handler has failed: with its stack. */
export function complain(owner: Failing, complaint: Complaint): void {
  write(owner, complaint, { detail: 'stack', others: 0 })
}

/** The same where anybody can bring it about. */
export function complainSparsely(owner: Failing, complaint: Complaint, detail: Detail): void {
  let sparse = known.get(owner)
  if (!sparse) {
    sparse = new Sparse()
    known.set(owner, sparse)
  }
  sparse.add((others) => write(owner, complaint, { detail, others }))
}

/** By owner: who floods one listener hides nothing of another. */
const known = new WeakMap<Failing, Sparse>()

const waiting = new Set<Sparse>()

// what was not shown is told before the end
process.once('exit', () => {
  for (const sparse of [...waiting]) sparse.tellLast()
})

class Sparse {
  #hidden = 0
  #last: ((others: number) => void) | null = null
  #timer: NodeJS.Timeout | null = null

  add(tell: (others: number) => void): void {
    if (this.#timer) {
      this.#hidden++
      this.#last = tell
      return
    }
    tell(0)
    this.#wait()
  }

  #wait(): void {
    waiting.add(this)
    this.#timer = setTimeout(() => this.tellLast(), EVERY_MS).unref()
  }

  tellLast(): void {
    waiting.delete(this)
    const { last, others } = { last: this.#last, others: this.#hidden - 1 }
    this.#timer = null
    this.#last = null
    this.#hidden = 0
    if (!last) return
    last(others)
    this.#wait()
  }
}

function write(owner: Failing, { what, error }: Complaint, how: { detail: Detail; others: number }): void {
  const { stack } = describeError(error)
  const more = how.others > 0 ? ` (and ${how.others} more)` : ''
  const why = how.detail === 'stack' ? stack : firstLineOf(stack)
  report(owner.worker, `${what} of a ${owner.protocol} connection failed${more}: ${why}`)
}

/** The other side's bytes may stand in it: nothing that would be a line of its own, or colour it. */
function firstLineOf(text: string): string {
  const [line = ''] = text.split('\n', 1)
  return line.slice(0, MAX_LINE_LENGTH).replaceAll(/\p{Cc}/gu, '?')
}
