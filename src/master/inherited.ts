/**
 * What a master that was killed has left, as the next master of the same state directory meets it: an
 * address that an orphan still has is waited for, as long as that takes a worker that is well; and who is
 * there is said, at the start and for as long as they live. Called by main, before anything is forked.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Address } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { findOrphans, stillThere } from '../ipc/findorphans.ts'
import { isHeldBy } from '../ipc/holder.ts'
import { type Orphan, orphanHint, orphanLines, STUCK_HINT } from '../ipc/orphan.ts'
import { isAlive } from '../os/processes.ts'

/** A worker lets its address go as soon as it notices that its master is gone: within a second, on a busy machine within a few. */
const LET_GO_MS = 5_000
const LOOK_MS = 20

export class Inheritance {
  readonly #orphans: readonly Orphan[]
  readonly #giveUpAt = performance.now() + LET_GO_MS

  private constructor(orphans: readonly Orphan[]) {
    this.#orphans = orphans
  }

  /** Looks, once. */
  static async of(stateDir: string): Promise<Inheritance> {
    return new Inheritance(await findOrphans(stateDir))
  }

  /**
   * Binds; waits for an orphan that is in the way, until five seconds after the look.
   * @throws what `bind` throws; for an address that an orphan still has then, with all of them named.
   */
  async claim<T>(address: Address, bind: () => Promise<T>): Promise<T> {
    try {
      return await bind()
    } catch (error) {
      const isInUse = error instanceof ShiftworkError && error.code === 'ERR_ADDRESS_IN_USE'
      if (!isInUse || this.#orphans.length === 0) throw error
      // it may have let go since
      while (this.#isInTheWay(address)) {
        if (performance.now() >= this.#giveUpAt) throw this.#named(error)
        await delay(LOOK_MS)
      }
    }
    return bind()
  }

  /** Those that are still there, a line each; empty when all have left. */
  warnings(): string[] {
    const left = stillThere(this.#orphans)
    return orphanLines(left, Date.now()).map((line) => `left by a master that was killed: ${line}`)
  }

  #isInTheWay(address: Address): boolean {
    const pids = this.#orphans.filter(isAlive).map(({ pid }) => pid)
    return pids.length > 0 && isHeldBy(address, pids)
  }

  #named(error: ShiftworkError): ShiftworkError {
    const hint = orphanHint(stillThere(this.#orphans), Date.now(), STUCK_HINT)
    return new ShiftworkError(error.code, error.message, { hint, cause: error.cause })
  }
}
