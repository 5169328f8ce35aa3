/**
 * Whether a business worker is about to come while none takes clients: one that was killed, or has crashed, is followed
 * by another. Asked by a gateway that leaves, and waits for it; how long, depends on why it leaves.
 */
import type { StopReason } from '../../index.ts'
import { waitFor } from '../patience.ts'

/**
 * A master that goes on starts another: after half a minute, where that has failed often. The drain's own deadline is
 * nearer, where it has one.
 */
const REPLACED_WITHIN_MS = 60_000
/** Its own master starts none any more: one may come from another start file, so soon after the other was lost. */
const ELSEWHERE_WITHIN_MS = 5_000

/** Whether the master starts workers in place of others, when it lets its gateway leave for that. */
const IS_REPLACED = {
  reload: true,
  recycle: true,
  scale: true,
  crash: true,
  hang: true,
  cancelled: false,
  stop: false,
  orphaned: false,
} as const satisfies Record<StopReason, boolean>

export class Succession {
  readonly #onGivenUp: () => void
  /** When the last one was lost; null: nobody is expected. */
  #lostAt: number | null = null
  /** From when on, and how long, another one is waited for; null: as long as it takes. */
  #patience: { since: number; ms: number } | null = null
  #endWait: () => void = () => undefined

  /** @param onGivenUp nobody is expected any more. */
  constructor(onGivenUp: () => void) {
    this.#onGivenUp = onGivenUp
  }

  get isExpected(): boolean {
    return this.#lostAt !== null
  }

  /** One was lost that is followed by another. */
  expect(): void {
    this.#lostAt = performance.now()
    this.#wait()
  }

  /** One has come. */
  settle(): void {
    this.#endWait()
    this.#lostAt = null
  }

  /** The gateway leaves: from now on nobody is waited for without an end. */
  limit(reason: StopReason): void {
    this.#patience = IS_REPLACED[reason]
      ? { since: performance.now(), ms: REPLACED_WITHIN_MS }
      : { since: Number.NEGATIVE_INFINITY, ms: ELSEWHERE_WITHIN_MS }
    this.#wait()
  }

  #wait(): void {
    this.#endWait()
    if (this.#lostAt === null || !this.#patience) return
    const { since, ms } = this.#patience
    const leftMs = Math.max(this.#lostAt, since) + ms - performance.now()
    if (leftMs > 0) this.#endWait = waitFor(leftMs, () => this.#giveUp(), { keepsAlive: false })
    else this.#giveUp()
  }

  #giveUp(): void {
    this.#lostAt = null
    this.#onGivenUp()
  }
}
