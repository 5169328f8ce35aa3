/**
 * What is due for a connection from which nothing comes: nothing, a sign of life asked for, or the end.
 * Pure: `connection` acts on it, at each look of the one timer in `connections`.
 */

import { ShiftworkError } from '../errors.ts'
import { plural } from '../words.ts'

/** When something came, and what was done about it since. Times are on one clock, in ms. */
export interface Silence {
  heardAt: number
  /** When a sign of life was asked for last. */
  askedAt: number
  /** How often it was asked for since something came. */
  asked: number
}

export interface SilenceLimits {
  /** 0: any silence is borne. */
  readonly idleTimeoutMs: number
  readonly heartbeat: { readonly everyMs: number; readonly maxMissed: number } | null
}

/** bear: nothing is due · ask: for a sign of life · close: idle for too long · give up: it gave no sign, it is gone */
export type Verdict = 'bear' | 'ask' | 'close' | 'give up'

const MIN_LOOK_MS = 10
const MAX_LOOK_MS = 1_000

/** What is due now. One that was asked is given `everyMs` after each time, however late the look at it came. */
export function judge({ heardAt, askedAt, asked }: Silence, limits: SilenceLimits, now: number): Verdict {
  const { idleTimeoutMs, heartbeat } = limits
  if (heartbeat && now - (asked > 0 ? askedAt : heardAt) >= heartbeat.everyMs)
    return asked < heartbeat.maxMissed ? 'ask' : 'give up'
  return idleTimeoutMs > 0 && now - heardAt >= idleTimeoutMs ? 'close' : 'bear'
}

/** How far apart the looks are, so that none of these times is overrun by more than a quarter; null: none is needed. */
export function lookEveryMs({ idleTimeoutMs, heartbeat }: SilenceLimits): number | null {
  const shortest = Math.min(idleTimeoutMs || Number.POSITIVE_INFINITY, heartbeat?.everyMs ?? Number.POSITIVE_INFINITY)
  if (shortest === Number.POSITIVE_INFINITY) return null
  return Math.min(Math.max(Math.ceil(shortest / 4), MIN_LOOK_MS), MAX_LOOK_MS)
}

/** What one connection was asked since something came from it. */
export class Questions {
  #asked = 0
  #askedAt = 0

  /** @returns what is due now; a sign of life that is due counts as asked for. */
  next(heardAt: number, now: number, limits: SilenceLimits): Verdict {
    if (this.#askedAt <= heardAt) this.#asked = 0
    const verdict = judge({ heardAt, askedAt: this.#askedAt, asked: this.#asked }, limits, now)
    if (verdict === 'ask') {
      this.#asked++
      this.#askedAt = now
    }
    return verdict
  }

  /** Why it is given up. */
  unanswered(silentMs: number): ShiftworkError {
    const message = `Nothing has come for ${Math.round(silentMs)} ms, and no answer to ${plural(this.#asked, 'ping')}`
    return new ShiftworkError('ERR_TIMEOUT', message)
  }
}
