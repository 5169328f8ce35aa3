/**
 * When a business worker may begin events with which others were lost before: few at a time, and one alone that has
 * cost two. So whatever a worker is lost with next, that event is among a few, and in the end the only one. Each belongs
 * to a `Client`, of any gateway, which says when it has come and when it is over.
 */
import { waitFor } from '../patience.ts'

/** Of those that were lost with one worker. */
const MAX_AT_ONCE = 8
/** One that is not over by then does not hold up others of its kind: it waits for something, maybe for ever. */
const PATIENCE_MS = 250
/** And where there is nothing else to be suspected: what ends a worker after a while is found, too. */
const PATIENCE_ALONE_MS = 3_000

/** An event with which workers were lost. */
export interface Suspect {
  /** Its turn has come; calls back when it is begun. That says no where it must not be begun after all. */
  begin(onBegun: () => boolean): void
  /** It was not that one, as far as can be told; calls back when its gateway knows. */
  outlive(onKnown: () => void): void
}

interface Trial {
  readonly suspect: Suspect
  /** It has cost more than one worker. */
  readonly isAlone: boolean
  /** Ends the wait for the end of its time. */
  endWait(): void
}

export class Trials {
  /** In the order in which they came, and those that are tried alone first. */
  readonly #waiting = { alone: new Set<Trial>(), together: new Set<Trial>() }
  /** Begun, and not for long. */
  readonly #current = new Set<Trial>()
  #isStopped = false

  /**
   * @param losses workers that were lost with it, at least one.
   * @returns it is over, or will not be begun; to be called once.
   */
  enter(losses: number, suspect: Suspect): () => void {
    const trial: Trial = { suspect, isAlone: losses > 1, endWait: () => undefined }
    this.#waiting[trial.isAlone ? 'alone' : 'together'].add(trial)
    this.#admit()
    return () => this.#leave(trial)
  }

  /** This worker is about to end, by something that is begun: nothing else is begun, and nothing of that is cleared. */
  stop(): void {
    this.#isStopped = true
    for (const trial of this.#current) trial.endWait()
  }

  #leave(trial: Trial): void {
    trial.endWait()
    this.#forget(trial)
    this.#current.delete(trial)
    this.#admit()
  }

  #admit(): void {
    for (let next = this.#next(); next; next = this.#next()) {
      const trial = next
      this.#forget(trial)
      this.#current.add(trial)
      trial.suspect.begin(() => this.#watch(trial))
    }
  }

  /** @returns whether it may be begun. */
  #watch(trial: Trial): boolean {
    const { suspect, isAlone } = trial
    if (this.#isStopped) suspect.outlive(() => undefined)
    else
      trial.endWait = waitFor(isAlone ? PATIENCE_ALONE_MS : PATIENCE_MS, () => this.#outlive(trial), {
        keepsAlive: false,
      })
    return !this.#isStopped
  }

  /** This process lives on, and others have waited for it long enough. */
  #outlive(trial: Trial): void {
    const goOn = (): void => {
      this.#current.delete(trial)
      this.#admit()
    }
    // of several it may still be this one that ends a worker after a while: that is found when it is alone
    if (trial.isAlone) trial.suspect.outlive(goOn)
    else goOn()
  }

  #forget(trial: Trial): void {
    this.#waiting.alone.delete(trial)
    this.#waiting.together.delete(trial)
  }

  /** Null: none waits, or none may be begun now. */
  #next(): Trial | null {
    if (this.#isStopped) return null
    const [first] = this.#waiting.alone.size > 0 ? this.#waiting.alone : this.#waiting.together
    return first && mayBegin(first, [...this.#current]) ? first : null
  }
}

function mayBegin({ isAlone }: Trial, current: readonly Trial[]): boolean {
  if (isAlone) return current.length === 0
  return current.length < MAX_AT_ONCE && !current.some((trial) => trial.isAlone)
}
