/** Questions to all workers at once, for their numbers; whoever does not answer in time is left out. Made by the supervisor. */
import { type MasterMessage, UNASKED, type WorkerStats } from '../ipc/messages.ts'
import { waitFor } from '../patience.ts'

export interface StatsAnswer {
  stats: WorkerStats
  tookMs: number
}

interface Question {
  /** Who has not answered, and since when it owes that. */
  waiting: Map<number, number>
  answers: Map<number, StatsAnswer>
  done: () => void
}

/** A question, or its answer, may have been lost. */
const ASK_AGAIN_MS = 10_000

export class Questions {
  readonly #open = new Map<number, Question>()
  /** Who was asked and has not answered since, and when that was. */
  readonly #owing = new Map<number, number>()
  #nextId = 1

  /**
   * One that owes an answer for longer is blocked: it is not asked again, which would fill its channel, but its late answer counts.
   * @param workers by their child's key.
   */
  ask(
    workers: ReadonlyMap<number, { send(message: MasterMessage): void }>,
    timeoutMs: number,
  ): Promise<Map<number, StatsAnswer>> {
    return new Promise((resolve) => {
      const id = this.#nextId++
      const endWait = waitFor(timeoutMs, () => question.done())
      const question: Question = {
        waiting: new Map(),
        answers: new Map(),
        done: () => {
          endWait()
          this.#open.delete(id)
          resolve(question.answers)
        },
      }
      this.#open.set(id, question)
      const now = performance.now()
      for (const [key, worker] of workers) {
        const since = this.#owing.get(key)
        const isBlocked = since !== undefined && now - since >= timeoutMs && now - since < ASK_AGAIN_MS
        question.waiting.set(key, isBlocked ? since : now)
        if (isBlocked) continue
        if (since === undefined || now - since >= ASK_AGAIN_MS) this.#owing.set(key, now)
        worker.send({ type: 'stats', question: id })
      }
      if (question.waiting.size === 0) question.done()
    })
  }

  answer(key: number, id: number, stats: WorkerStats): void {
    if (id === UNASKED) return
    const owingSince = this.#owing.get(key)
    this.#owing.delete(key)
    for (const [open, question] of this.#open) {
      const askedAt = question.waiting.get(key)
      if (askedAt === undefined || (open !== id && askedAt !== owingSince)) continue
      question.waiting.delete(key)
      question.answers.set(key, { stats, tookMs: performance.now() - askedAt })
      if (question.waiting.size === 0) question.done()
    }
  }

  /** One that is gone will not answer. */
  forget(key: number): void {
    this.#owing.delete(key)
    for (const question of this.#open.values())
      if (question.waiting.delete(key) && question.waiting.size === 0) question.done()
  }
}
