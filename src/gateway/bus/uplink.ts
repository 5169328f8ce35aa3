/**
 * The connection of a process to the broker: opens it, looks whether it lives, and opens another when it is lost, for
 * as long as that takes. Nothing of it keeps a process alive, and what goes wrong is said once, and once that it is over.
 */
import { ShiftworkError } from '../../index.ts'
import { backoffMs } from './backoff.ts'
import type { Broker } from './broker.ts'
import { BrokerClock } from './clock.ts'
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

/** By the clock that only goes forward, and by the one that goes on while the machine sleeps. */
interface Moment {
  readonly now: number
  readonly date: number
}

const BEAT_EVERY_MS = 2_000
/** A broker that takes so long for a beat is away. */
const BEAT_DEADLINE_MS = 4_000
/** What a beat has told that was begun so long ago is old: another would have been made, or the broker is slow. */
const STALE_AFTER_MS = BEAT_EVERY_MS + BEAT_DEADLINE_MS

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
  /** The one that is under way. */
  #beating: Promise<void> | null = null
  /** When the last one was begun that was made. */
  #beatAt: Moment = { now: -Infinity, date: -Infinity }
  readonly #clock = new BrokerClock()
  #failure: unknown = null

  constructor(options: UplinkOptions) {
    this.#options = options
    this.#opened = this.#open()
  }

  /**
   * The first attempt is over, however it went, and in a process that stood still a beat.
   * @throws ShiftworkError `ERR_OPTION` when none can succeed.
   */
  async ready(): Promise<void> {
    await this.#opened
    if (this.#state === 'failed') throw this.#failure
    // the one that is under way may have been begun before
    while (this.#broker && this.isStale) await (this.#beating ?? this.#beat(this.#broker))
  }

  /** It was not looked at for so long that nobody knows who is there: this process stood still, or its machine slept. */
  get isStale(): boolean {
    return this.#sinceBeatMs > STALE_AFTER_MS
  }

  get #sinceBeatMs(): number {
    return Math.max(performance.now() - this.#beatAt.now, Date.now() - this.#beatAt.date)
  }

  /** Null: it is not up. */
  get broker(): Broker | null {
    return this.#broker
  }

  /** By the clock of the broker, about, in ms since 1970; makes no sense before it was up. */
  get brokerNow(): number {
    return this.#clock.at(performance.now())
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
    this.#clock.doubt()
    try {
      broker = await this.#options.open((reason) => {
        lost = new Error(reason)
        if (broker && this.#broker === broker) this.#lose(lost)
      })
      const begunAt = await this.#beatOnce(broker)
      if (lost) throw lost
      this.#rise(broker, begunAt)
    } catch (error) {
      broker?.close()
      this.#fail(error)
    }
  }

  #rise(broker: Broker, begunAt: Moment): void {
    // it has ended meanwhile
    if (this.#state === 'closed') {
      broker.close()
      return
    }
    this.wasAwayForLong = this.#sinceBeatMs > SILENT_AFTER_MS
    this.#attempts = 0
    if (this.#state === 'away') {
      this.backAt = performance.now()
      console.error(`shiftwork: the bus ${this.#options.name} is back`)
    }
    this.#state = 'up'
    this.#broker = broker
    this.#goOn(broker, begunAt)
  }

  /** A beat was made. */
  #goOn(broker: Broker, begunAt: Moment): void {
    this.#beatAt = begunAt
    this.#timer = setTimeout(() => void this.#beat(broker), BEAT_EVERY_MS).unref()
  }

  #beat(broker: Broker): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#beating = this.#beatAgain(broker)
    return this.#beating
  }

  async #beatAgain(broker: Broker): Promise<void> {
    try {
      const begunAt = await this.#beatOnce(broker)
      if (this.#broker !== broker) return
      this.#beating = null
      this.#goOn(broker, begunAt)
    } catch (error) {
      if (this.#broker === broker) this.#lose(error)
    }
  }

  /** @returns when it was begun. */
  async #beatOnce(broker: Broker): Promise<Moment> {
    const begunAt = { now: performance.now(), date: Date.now() }
    const beating = this.#tellTime(broker).then(() => this.#options.beat(broker, this.brokerNow))
    await within(beating, BEAT_DEADLINE_MS, { reason: `it has not answered within ${BEAT_DEADLINE_MS} ms` })
    return begunAt
  }

  async #tellTime(broker: Broker): Promise<void> {
    const askedAt = performance.now()
    const brokerNow = await broker.probe()
    this.#clock.told(brokerNow, { askedAt, now: performance.now() })
  }

  #lose(error: unknown): void {
    this.#broker?.close()
    this.#broker = null
    this.#beating = null
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
