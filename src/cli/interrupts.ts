/**
 * Ctrl-C, and what else would end a command, while a start is waited for. `start` is ended by the first one. A restart
 * has stopped what ran: it goes on through the first, and through the loss of its terminal, and is ended by the second.
 */

/** Ctrl-C under a loader's parent process arrives twice, 30 ms apart: only a later one is a second one. */
const SECOND_SIGNAL_MS = 500

export interface Interrupts {
  /** Has `giveUp` called from now on by what ends the command. @returns a function that takes it back. */
  heed(giveUp: () => void): () => void
}

export const FIRST_ENDS: Interrupts = {
  heed: (giveUp) => {
    process.on('SIGINT', giveUp).on('SIGTERM', giveUp)
    return () => void process.off('SIGINT', giveUp).off('SIGTERM', giveUp)
  },
}

/** From its making until its `end`. */
export class SecondEnds implements Interrupts {
  readonly #say: () => void
  #giveUp: () => void = () => undefined
  #firstAt: number | null = null

  /** @param say tells whoever has typed it that this goes on. */
  constructor(say: () => void) {
    this.#say = say
    process.on('SIGINT', this.#interrupt).on('SIGTERM', this.#interrupt).on('SIGHUP', say)
  }

  heed(giveUp: () => void): () => void {
    const outer = this.#giveUp
    this.#giveUp = giveUp
    return () => {
      this.#giveUp = outer
    }
  }

  end(): void {
    process.off('SIGINT', this.#interrupt).off('SIGTERM', this.#interrupt).off('SIGHUP', this.#say)
  }

  readonly #interrupt = (): void => {
    const now = performance.now()
    if (this.#firstAt === null) {
      this.#firstAt = now
      this.#say()
    } else if (now - this.#firstAt >= SECOND_SIGNAL_MS) this.#giveUp()
  }
}
