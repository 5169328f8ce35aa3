/**
 * Questions to a gateway that wait for their answers, each with a deadline. One clock for all of them: a timer for each
 * would cost more than the question.
 */
import { type ErrorCode, ShiftworkError } from '../../index.ts'
import { lookEvery } from '../patience.ts'
import type { Answer } from '../wire/records.ts'

export interface Waiting {
  resolve(value: unknown): void
  reject(error: unknown): void
}

interface Entry extends Waiting {
  readonly dueAt: number
}

/** A deadline is kept as exactly as this. */
const TICK_MS = 25
const LAST_QUESTION = 0xffff_ffff

export class Pending {
  readonly #entries = new Map<number, Entry>()
  readonly #gateway: string
  #clock: NodeJS.Timeout | null = null
  readonly #onSettled: (() => void)[] = []
  #last = 0

  constructor(gateway: string) {
    this.#gateway = gateway
  }

  get size(): number {
    return this.#entries.size
  }

  /** A number for a new question; 0 is never one. */
  next(): number {
    this.#last = this.#last === LAST_QUESTION ? 1 : this.#last + 1
    return this.#last
  }

  /** Keeps the process alive until it is settled. */
  wait(question: number, deadlineMs: number): Promise<unknown> {
    // it runs on for a while when nothing waits: starting it is what costs
    this.#clock ??= lookEvery(TICK_MS, () => this.#tick())
    if (this.#entries.size === 0) this.#clock.ref()
    return new Promise((resolve, reject) => {
      this.#entries.set(question, { resolve, reject, dueAt: performance.now() + deadlineMs })
    })
  }

  /** Takes a question out, to answer it. Undefined for one that is late, or was never asked. */
  take(question: number): Waiting | undefined {
    const entry = this.#entries.get(question)
    if (!entry) return undefined
    this.#entries.delete(question)
    if (this.#entries.size === 0) {
      this.#clock?.unref()
      for (const resolve of this.#onSettled.splice(0)) resolve()
    }
    return entry
  }

  /** Resolves when nothing waits. */
  settled(): Promise<void> {
    if (this.#entries.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onSettled.push(resolve))
  }

  /** A gateway has answered; too late, that is dropped. @throws TypeError for what is no answer. */
  settle(answer: Answer): void {
    const waiting = this.take(answer.request)
    if (answer.type === 'sent') waiting?.resolve(answer.delivery)
    else if (answer.isError) waiting?.reject(errorOf(answer.value))
    else waiting?.resolve(answer.value)
  }

  /** Nothing will be answered any more. */
  rejectAll(error: unknown): void {
    for (const question of [...this.#entries.keys()]) this.take(question)?.reject(error)
    this.#stop()
  }

  #tick(): void {
    if (this.#entries.size === 0) {
      this.#stop()
      return
    }
    const now = performance.now()
    for (const [question, { dueAt }] of this.#entries)
      if (dueAt <= now) this.take(question)?.reject(noAnswerOf(this.#gateway))
  }

  #stop(): void {
    if (this.#clock) clearInterval(this.#clock)
    this.#clock = null
  }
}

/** Not how long that was: finding the gateway has taken a part of it. */
export function noAnswerOf(gateway: string): ShiftworkError {
  return new ShiftworkError('ERR_NO_ANSWER', `Gateway ${gateway} has not answered in time`)
}

function errorOf(value: unknown): ShiftworkError {
  const { code, message, hint } = value as { code: ErrorCode; message: string; hint: string | null }
  return new ShiftworkError(code, message, { hint: hint ?? undefined })
}
