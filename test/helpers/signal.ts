/** Something that happens elsewhere, and those who wait for it. */

export interface Wait {
  /** What is waited for, in words. */
  what: string
  /** What there is instead, asked for when it has not come. */
  instead?: () => string
  /** Default 60 s. */
  timeoutMs?: number
}

/** Told whenever something has happened: then whoever waits looks again. */
export class Signal {
  readonly #watchers = new Set<() => void>()

  tell(): void {
    for (const watch of [...this.#watchers]) watch()
  }

  /**
   * Resolves with the first thing but undefined that `look` returns.
   * @throws what `look` throws; an Error that says who has waited, when it does not come in time.
   */
  wait<T>(look: () => T | undefined, { what, instead, timeoutMs = 60_000 }: Wait): Promise<T> {
    // made here, for its stack: later nobody knows who waits
    const late = new Error(`not in ${timeoutMs} ms: ${what}`)
    return new Promise((resolve, reject) => {
      const end = (then: () => void): void => {
        clearTimeout(timer)
        this.#watchers.delete(watch)
        then()
      }
      const watch = (): void => {
        try {
          const found = look()
          if (found !== undefined) end(() => resolve(found))
        } catch (error) {
          end(() => reject(error))
        }
      }
      const timer = setTimeout(() => {
        if (instead) late.message += `; ${instead()}`
        end(() => reject(late))
      }, timeoutMs)
      this.#watchers.add(watch)
      watch()
    })
  }

  /** Resolves when that is so. */
  async until(isSo: () => boolean, wait: Wait): Promise<void> {
    await this.wait(() => isSo() || undefined, wait)
  }
}
