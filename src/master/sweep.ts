/**
 * Sweeps behind workers: when one is dead, what it had started is ended. Called by the supervisor, which
 * is told of what was found; a stop waits until nothing is left. Never holds up the loop for long.
 */

import { debug } from '../log.ts'
import { type Ended, endCarriers, Looks } from '../os/endcarriers.ts'
import { WORKER_VARIABLE } from '../variables.ts'

export class Sweeper {
  readonly #looks = new Looks(WORKER_VARIABLE)
  readonly #running = new Set<Promise<void>>()

  /** @param onEnded is called with what was ended, when that is gone; not when nothing was found. */
  sweep(mark: string, onEnded: (ended: Ended[]) => void): void {
    const running = endCarriers(mark, this.#looks)
      .then((ended) => {
        if (ended.length > 0) onEnded(ended)
      })
      // a process table that cannot be read, by a master without a free descriptor for one
      .catch((error: unknown) => debug('sweep: %s', error))
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Settles when all that was begun is over. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
