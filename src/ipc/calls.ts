/**
 * Questions over a wire, each with its own answer and deadline. Made by those that ask: the master its
 * workers, a worker its master.
 */
import { waitFor } from '../patience.ts'

/** late: no answer in time · gone: the process has ended */
export type Outcome<Answer> = { answer: Answer } | 'late' | 'gone'

interface Call<Answer> {
  readonly key: number
  readonly settle: (outcome: Outcome<Answer>) => void
}

export class Calls<Answer> {
  readonly #open = new Map<number, Call<Answer>>()
  #nextId = 1

  /**
   * @param key of the process that is asked.
   * @param how `send` sends the question, under this number.
   */
  ask(key: number, how: { send(question: number): void; timeoutMs: number }): Promise<Outcome<Answer>> {
    return new Promise((resolve) => {
      const question = this.#nextId++
      const settle = (outcome: Outcome<Answer>): void => {
        endWait()
        this.#open.delete(question)
        resolve(outcome)
      }
      const endWait = waitFor(how.timeoutMs, () => settle('late'))
      this.#open.set(question, { key, settle })
      how.send(question)
    })
  }

  /** Nothing, for a question that is not open any more. */
  answer(question: number, answer: Answer): void {
    this.#open.get(question)?.settle({ answer })
  }

  /** One that is gone will not answer. */
  forget(key: number): void {
    for (const call of [...this.#open.values()]) if (call.key === key) call.settle('gone')
  }
}
