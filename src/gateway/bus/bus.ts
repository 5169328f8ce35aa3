/**
 * The way to other machines: keeps a connection to the broker, opens another when it is lost, and knows whether what
 * is heard over it is the whole truth. Used by a gateway (`post`) and by those who command gateways (`far`). Nothing
 * of it keeps a process alive, and nothing waits in it for a better time.
 */
import { ShiftworkError } from '../../index.ts'
import type { BusAddress } from './address.ts'
import { backoffMs } from './backoff.ts'
import type { Broker, OpenBroker } from './broker.ts'
import { SILENT_AFTER_MS } from './members.ts'
import { decodeMessage, decodeNews, encodeMessage, encodeNews, type Message, type News } from './message.ts'
import { openRedis } from './redis.ts'
import { within } from './within.ts'

/** Who uses it. */
export interface BusUser {
  /** Under which it is found: of a gateway its id, else any. */
  readonly name: string
  /** Regularly, and before the bus is up: enters itself, reads who is there. Rejects when the broker is away. */
  beat(broker: Broker, brokerNow: number): Promise<void>
  take(message: Message): void
  takeNews(news: News): void
  /** Answers that were under way are lost. */
  lost(error: ShiftworkError): void
  /** All whom it knew when the connection was lost are known again. */
  readonly hasEverybody: boolean
}

export interface BusOptions {
  readonly address: BusAddress
  readonly user: BusUser
  /** Default: Redis. */
  readonly open?: OpenBroker
  readonly log?: (line: string) => void
}

/** opening: for the first time · failed: it never will be */
type State = 'opening' | 'up' | 'away' | 'failed' | 'closed'

const BEAT_EVERY_MS = 2_000
/** A broker that takes so long for a beat is away. */
const BEAT_DEADLINE_MS = 4_000
/** When it was away, others come back within so long: until then nobody knows who is there. */
const RETURN_MS = 5_000
/** What the broker has not taken yet: beyond, nothing is sent. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024
/** What a message costs beside its bytes. */
const MESSAGE_BYTES = 512
const CLOSE_MS = 1_000
const COMPLAIN_EVERY_MS = 60_000

export class Bus {
  readonly #options: BusOptions
  readonly #prefix: string
  readonly #ready: Promise<void>
  #state: State = 'opening'
  #broker: Broker | null = null
  #reason = 'it has not answered yet'
  #attempts = 0
  #timer: NodeJS.Timeout | null = null
  /** null: it was never away. */
  #backAt: number | null = null
  /** So long that some may have come whom nobody here knows; also when it was away from the beginning. */
  #wasAwayForLong = true
  #beatAt = -Infinity
  /** From the clock of this process to that of the broker. */
  #clockOffset = 0
  #waitingBytes = 0
  #onAllTaken: () => void = () => undefined
  #complainedAt = -Infinity
  #failure: unknown = null

  constructor(options: BusOptions) {
    this.#options = options
    this.#prefix = `shiftwork:${options.address.namespace}`
    this.#ready = this.#open()
  }

  /** The first attempt is over, however it went. @throws ShiftworkError `ERR_OPTION` when none can succeed. */
  async ready(): Promise<void> {
    await this.#ready
    if (this.#state === 'failed') throw this.#failure
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  /** Null: everybody who is there is known. For people. */
  get doubt(): string | null {
    if (!this.isUp) return `${this.#options.address.shown} is away: ${this.#reason}`
    if (this.#backAt === null || performance.now() - this.#backAt > RETURN_MS) return null
    if (!this.#wasAwayForLong && this.#options.user.hasEverybody) return null
    return `${this.#options.address.shown} was away until a moment ago: others may not be back yet`
  }

  /** For who wants what cannot be had: nothing was done. */
  error(): ShiftworkError {
    return new ShiftworkError('ERR_BUS', `The gateways of other machines cannot be reached: ${this.doubt ?? 'away'}`, {
      hint: 'Clients of this machine are not affected; try again when Redis is back.',
    })
  }

  /** @returns what the broker says; rejects with `ERR_BUS`. */
  async ask<Answer>(question: (broker: Broker) => Promise<Answer>): Promise<Answer> {
    const broker = this.#broker
    if (!broker || !this.isUp) throw this.error()
    try {
      return await question(broker)
    } catch (cause) {
      throw new ShiftworkError('ERR_BUS', `${this.#options.address.shown}: ${messageOf(cause)}`, { cause })
    }
  }

  /**
   * @param validMs whoever hears it later does nothing: a message may lie in a buffer for a long time.
   * @returns how many have heard it: 0 or 1. Rejects with `ERR_BUS`, `ERR_SEND_BUFFER_FULL`.
   */
  async publish(to: string, { records, validMs }: { records: Uint8Array; validMs: number }): Promise<number> {
    const bytes = encodeMessage({ from: this.#options.user.name, until: this.#brokerNow + validMs, records })
    const cost = bytes.length + MESSAGE_BYTES
    if (this.#waitingBytes + cost > MAX_WAITING_BYTES)
      throw new ShiftworkError('ERR_SEND_BUFFER_FULL', `${this.#waitingBytes} bytes wait for the bus already`)
    this.#waitingBytes += cost
    try {
      return await this.ask((broker) => broker.publish(this.#channelOf(to), bytes))
    } finally {
      this.#waitingBytes -= cost
      if (this.#waitingBytes === 0) this.#onAllTaken()
    }
  }

  /** Tells everybody; who does not hear it sees it in the list. */
  async tell(news: News, broker: Broker): Promise<void> {
    await broker.publish(`${this.#prefix}:news`, encodeNews(news))
  }

  /** Something has come that makes no sense. */
  complain(error: unknown): void {
    const now = performance.now()
    if (now - this.#complainedAt < COMPLAIN_EVERY_MS) return
    this.#complainedAt = now
    this.#log(`somebody says on the bus what makes no sense: ${messageOf(error)}`)
  }

  /** Waits a moment for what is being sent, and ends. */
  async close(): Promise<void> {
    if (this.#waitingBytes > 0 && this.isUp) {
      const taken = new Promise<void>((resolve) => {
        this.#onAllTaken = resolve
      })
      // what is not taken by then is lost
      await within(taken, CLOSE_MS, { reason: 'the broker is slow' }).catch(() => undefined)
    }
    this.#state = 'closed'
    this.#reason = 'it was disconnected'
    if (this.#timer) clearTimeout(this.#timer)
    this.#broker?.close()
    this.#broker = null
    this.#loseAnswers()
  }

  // ---- up and away -------------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const { address, user, open = openRedis } = this.#options
    let broker: Broker | null = null
    let lost: Error | null = null
    try {
      broker = await open({
        address,
        channels: [this.#channelOf(user.name), `${this.#prefix}:news`],
        list: `${this.#prefix}:gateways`,
        onMessage: (channel, bytes) => this.#hear(channel, bytes),
        onLost: (reason) => {
          lost = new Error(reason)
          if (broker && this.#broker === broker) this.#lose(reason)
        },
      })
      if (this.#isClosed) {
        broker.close()
        return
      }
      await this.#beatOnce(broker)
      if (lost) throw lost
      this.#rise(broker)
    } catch (error) {
      broker?.close()
      this.#fail(error)
    }
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  async #beatOnce(broker: Broker): Promise<void> {
    const beating = this.#tellTime(broker).then((now) => this.#options.user.beat(broker, now))
    await within(beating, BEAT_DEADLINE_MS, { reason: `it has not answered within ${BEAT_DEADLINE_MS} ms` })
  }

  async #tellTime(broker: Broker): Promise<number> {
    const askedAt = performance.now()
    const brokerNow = await broker.probe()
    // it has told it in between
    this.#clockOffset = brokerNow - (askedAt + performance.now()) / 2
    return brokerNow
  }

  /** By its clock, about, in ms since 1970. */
  get #brokerNow(): number {
    return performance.now() + this.#clockOffset
  }

  #rise(broker: Broker): void {
    if (this.#isClosed) {
      broker.close()
      return
    }
    this.#broker = broker
    this.#attempts = 0
    const now = performance.now()
    this.#wasAwayForLong = now - this.#beatAt > SILENT_AFTER_MS
    this.#beatAt = now
    if (this.#state === 'away') {
      this.#backAt = now
      this.#log(`the bus ${this.#options.address.shown} is back`)
    }
    this.#state = 'up'
    this.#timer = setTimeout(() => void this.#beat(broker), BEAT_EVERY_MS).unref()
  }

  async #beat(broker: Broker): Promise<void> {
    try {
      await this.#beatOnce(broker)
    } catch (error) {
      if (this.#broker === broker) this.#lose(messageOf(error))
      return
    }
    if (this.#broker !== broker) return
    this.#beatAt = performance.now()
    this.#timer = setTimeout(() => void this.#beat(broker), BEAT_EVERY_MS).unref()
  }

  #lose(reason: string): void {
    this.#broker?.close()
    this.#broker = null
    this.#fail(new Error(reason))
    this.#loseAnswers()
  }

  #loseAnswers(): void {
    const message = `The connection to ${this.#options.address.shown} was lost: nobody knows what was done`
    this.#options.user.lost(new ShiftworkError('ERR_CONNECTION_CLOSED', message))
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return
    if (this.#timer) clearTimeout(this.#timer)
    if (error instanceof ShiftworkError && error.code === 'ERR_OPTION') {
      this.#state = 'failed'
      this.#failure = error
      return
    }
    this.#reason = messageOf(error)
    if (this.#state !== 'away')
      this.#log(
        `the bus ${this.#options.address.shown} is away: ${this.#reason}; clients of other machines wait for it`,
      )
    this.#state = 'away'
    this.#timer = setTimeout(() => void this.#open(), backoffMs(this.#attempts++, Math.random())).unref()
  }

  // ---- what is heard -----------------------------------------------------------------------------------------------

  /** Anybody who can reach the broker can say anything. */
  #hear(channel: string, bytes: Buffer): void {
    const { user } = this.#options
    try {
      if (channel === this.#channelOf(user.name)) this.#take(decodeMessage(bytes))
      else user.takeNews(decodeNews(bytes))
    } catch (error) {
      this.complain(error)
    }
  }

  #take(message: Message): void {
    if (message.until > this.#brokerNow) this.#options.user.take(message)
  }

  #channelOf(name: string): string {
    return `${this.#prefix}:to:${name}`
  }

  #log(line: string): void {
    const log = this.#options.log ?? ((text: string) => console.error(text))
    log(`shiftwork: ${line}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
