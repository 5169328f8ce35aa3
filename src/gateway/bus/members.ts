/**
 * Which gateways there are on the bus, as far as this process has been told. A gateway that has not been heard of
 * for a while is silent, and not asked any more; one of which somebody knows that it is gone is gone. Pure: the
 * clock is passed in, any that only goes forward, in ms.
 */

/** live: it is asked · silent: cut off, or dead and nobody has seen it · gone: dead · unknown: never heard of, or long ago */
export type Standing = 'live' | 'silent' | 'gone' | 'unknown'

/** A gateway that says nothing for so long is silent. */
export const SILENT_AFTER_MS = 10_000
/** So long it is remembered. */
export const FORGOTTEN_AFTER_MS = 600_000
/** Of those that are gone; beyond, the eldest are forgotten. */
const MAX_GONE = 10_000

export class Members {
  /** When each is silent. */
  readonly #silentAt = new Map<string, number>()
  /** When each said so, of those that may not be in the list yet. */
  readonly #cameAt = new Map<string, number>()
  /** Since when. */
  readonly #gone = new Map<string, number>()

  live(now: number): string[] {
    return [...this.#silentAt].filter(([, silentAt]) => silentAt > now).map(([gateway]) => gateway)
  }

  standing(gateway: string, now: number): Standing {
    const silentAt = this.#silentAt.get(gateway)
    if (silentAt !== undefined) return silentAt > now ? 'live' : 'silent'
    return this.#gone.has(gateway) ? 'gone' : 'unknown'
  }

  /** How long nothing was heard of it, in ms. */
  silence(gateway: string, now: number): number {
    return now - (this.#silentAt.get(gateway) ?? now) + SILENT_AFTER_MS
  }

  /** It says that it is there: whoever took it for dead was wrong. */
  came(gateway: string, now: number): void {
    this.#gone.delete(gateway)
    this.#cameAt.set(gateway, now)
    this.#silentAt.set(gateway, now + SILENT_AFTER_MS)
  }

  /** Somebody knows that it is dead. @returns whether that is new here. */
  died(gateway: string, now: number): boolean {
    const wasThere = this.#silentAt.delete(gateway)
    this.#cameAt.delete(gateway)
    const isNew = wasThere || !this.#gone.has(gateway)
    this.#gone.set(gateway, now)
    for (const eldest of this.#gone.keys()) {
      if (this.#gone.size <= MAX_GONE) break
      this.#gone.delete(eldest)
    }
    return isNew
  }

  /**
   * The whole list has come; what was told since it was asked for is newer.
   * @param list when each is silent.
   * @returns those in it that are gone: whoever knew that could not say it.
   */
  replace(list: ReadonlyMap<string, number>, { askedAt, now }: { askedAt: number; now: number }): string[] {
    for (const [gateway, since] of this.#gone) if (since < now - FORGOTTEN_AFTER_MS) this.#gone.delete(gateway)
    for (const [gateway, cameAt] of this.#cameAt) if (cameAt < askedAt) this.#cameAt.delete(gateway)
    for (const gateway of this.#silentAt.keys()) if (!this.#cameAt.has(gateway)) this.#silentAt.delete(gateway)
    for (const [gateway, silentAt] of list) if (!this.#gone.has(gateway)) this.#silentAt.set(gateway, silentAt)
    return [...list.keys()].filter((gateway) => this.#gone.has(gateway))
  }
}
