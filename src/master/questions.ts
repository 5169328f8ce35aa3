/** Questions to all workers at once, for their numbers; whoever does not answer in time is left out. Made by the supervisor. */
import type { MasterMessage, WorkerStats } from '../ipc/messages.ts'

export interface StatsAnswer {
  stats: WorkerStats
  tookMs: number
}

interface Question {
  waiting: Set<number>
  answers: Map<number, StatsAnswer>
  askedAt: number
  done: () => void
}

export class Questions {
  readonly #open = new Map<number, Question>()
  #nextId = 1

  /** @param workers by their child's key. */
  ask(
    workers: ReadonlyMap<number, { send(message: MasterMessage): void }>,
    timeoutMs: number,
  ): Promise<Map<number, StatsAnswer>> {
    return new Promise((resolve) => {
      const id = this.#nextId++
      const timer = setTimeout(() => question.done(), timeoutMs)
      const question: Question = {
        waiting: new Set(workers.keys()),
        answers: new Map(),
        askedAt: performance.now(),
        done: () => {
          clearTimeout(timer)
          this.#open.delete(id)
          resolve(question.answers)
        },
      }
      this.#open.set(id, question)
      for (const worker of workers.values()) worker.send({ type: 'stats', question: id })
      if (question.waiting.size === 0) question.done()
    })
  }

  answer(key: number, id: number, stats: WorkerStats): void {
    const question = this.#open.get(id)
    if (!question?.waiting.delete(key)) return
    question.answers.set(key, { stats, tookMs: performance.now() - question.askedAt })
    if (question.waiting.size === 0) question.done()
  }

  /** One that is gone will not answer. */
  forget(key: number): void {
    for (const question of this.#open.values())
      if (question.waiting.delete(key) && question.waiting.size === 0) question.done()
  }
}
