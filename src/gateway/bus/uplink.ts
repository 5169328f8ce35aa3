/**
 * The connection of a process to the broker: opens it, looks whether it lives, and opens another when it is lost, for
 * as long as that takes. Nothing of it keeps a process alive, and what goes wrong is said once, and once that it is over.
 */
import { ShiftworkError } from '../../index.ts'
import { backoffMs } from './backoff.ts'
import type { Broker } from './broker.ts'
import { SILENT_AFTER_MS } from './members.ts'
import { within } from './within.ts'

export interface UplinkOptions {
  /** For people. */
  readonly name: string
  /** Opens a connection. @param onLost at most once. */
  open(onLost: (reason: string) => void): Promise<Broker>
  /** Regularly, and before a connection counts as up. */
  beat(broker: Broker, brokerNow: number): Promise<void>
  /** It was up, and is not any more. */
  onLost(): void
}

/** opening: for the first time · failed: it never will be up */
type State = 'opening' | 'up' | 'away' | 'failed' | 'closed'

const BEAT_EVERY_MS = 2_000
/** A broker that takes so long for a beat is away. */
const BEAT_DEADLINE_MS = 4_000

export class Uplink {
  readonly #options: UplinkOptions
  readonly #opened: Promise<void>
  #state: State = 'opening'
  #broker: Broker | null = null
  /** Why it is not up. */
  reason = 'it has not answered yet'
  /** When it came back; null: it was never away. */
  backAt: number | null = null
  /** So long that some may have come whom nobody here knows; also when it was away from the beginning. */
  wasAwayForLong = true
  #attempts = 0
  #timer: NodeJS.Timeout | null = null
  #beatAt = -Infinity
  /** From the clock of this process to that of the broker. */
  #clockOffset = 0
  #failure: unknown = null

  constructor(options: UplinkOptions) {
    this.#options = options
    this.#opened = this.#open()
  }

  /** The first attempt is over, however it went. @throws ShiftworkError `ERR_OPTION` when none can succeed. */
  async ready(): Promise<void> {
    await this.#opened
    if (this.#state === 'failed') throw this.#failure
  }

  /** Null: it is not up. */
  get broker(): Broker | null {
    return this.#broker
  }

  /** By the clock of the broker, about, in ms since 1970; makes no sense before it was up. */
  get brokerNow(): number {
    return performance.now() + this.#clockOffset
  }

  close(): void {
    this.#state = 'closed'
    this.reason = 'it was disconnected'
    if (this.#timer) clearTimeout(this.#timer)
    this.#broker?.close()
    this.#broker = null
  }

  async #open(): Promise<void> {
    let broker: Broker | null = null
    let lost: Error | null = null
    try {
      broker = await this.#options.open((reason) => {
        lost = new Error(reason)
        if (broker && this.#broker === broker) this.#lose(lost)
      })
      await this.#beatOnce(broker)
      if (lost) throw lost
    } catch (error) {
      broker?.close()
      this.#fail(error)
      return
    }
    this.#rise(broker)
  }

  #rise(broker: Broker): void {
    // it has ended meanwhile
    if (this.#state === 'closed') {
      broker.close()
      return
    }
    const now = performance.now()
    this.wasAwayForLong = now - this.#beatAt > SILENT_AFTER_MS
    this.#beatAt = now
    this.#attempts = 0
    if (this.#state === 'away') {
      this.backAt = now
      console.error(`shiftwork: the bus ${this.#options.name} is back`)
    }
    this.#state = 'up'
    this.#broker = broker
    this.#timer = setTimeout(() => void this.#beat(broker), BEAT_EVERY_MS).unref()
  }

  async #beat(broker: Broker): Promise<void> {
    try {
      await this.#beatOnce(broker)
    } catch (error) {
      if (this.#broker === broker) this.#lose(error)
      return
    }
    if (this.#broker !== broker) return
    this.#beatAt = performance.now()
    this.#timer = setTimeout(() => void this.#beat(broker), BEAT_EVERY_MS).unref()
  }

  async #beatOnce(broker: Broker): Promise<void> {
    const beating = this.#tellTime(broker).then((brokerNow) => this.#options.beat(broker, brokerNow))
    await within(beating, BEAT_DEADLINE_MS, { reason: `it has not answered within ${BEAT_DEADLINE_MS} ms` })
  }

  async #tellTime(broker: Broker): Promise<number> {
    const askedAt = performance.now()
    const brokerNow = await broker.probe()
    // it has told it in between
    this.#clockOffset = brokerNow - (askedAt + performance.now()) / 2
    return brokerNow
  }

  #lose(error: unknown): void {
    this.#broker?.close()
    this.#broker = null
    this.#fail(error)
    this.#options.onLost()
  }

  #fail(error: unknown): void {
    if (this.#state === 'closed') return
    if (this.#timer) clearTimeout(this.#timer)
    if (error instanceof ShiftworkError && error.code === 'ERR_OPTION') {
      this.#state = 'failed'
      this.#failure = error
      return
    }
    this.reason = error instanceof Error ? error.message : String(error)
    if (this.#state !== 'away') console.error(`shiftwork: ${this.#farewell}`)
    this.#state = 'away'
    this.#timer = setTimeout(() => void this.#open(), backoffMs(this.#attempts++, Math.random())).unref()
  }

  get #farewell(): string {
    return `the bus ${this.#options.name} is away: ${this.reason}; until it is back, clients of other machines are not reached`
  }
}
