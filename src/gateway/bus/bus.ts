/**
 * The way to other machines: messages to one, news for all, and whether what is known here is the whole truth. Used by
 * a gateway (`post`) and by those who command gateways (`far`). Nothing waits in it for a better time.
 */
import { ShiftworkError } from '../../index.ts'
import type { BusAddress } from './address.ts'
import type { Broker, OpenBroker } from './broker.ts'
import { decodeMessage, decodeNews, encodeMessage, encodeNews, type Message, type News } from './message.ts'
import { openRedis } from './redis.ts'
import { Uplink } from './uplink.ts'
import { within } from './within.ts'

/** Who uses it. */
export interface BusUser {
  /** Under which it is found: of a gateway its id, else any. */
  readonly name: string
  /** All whom it knew when the connection was lost are known again. */
  readonly hasEverybody: boolean
  /** Regularly, and before the bus is up: enters itself, reads who is there. Rejects when the broker is away. */
  beat(broker: Broker, brokerNow: number): Promise<void>
  take(message: Message): void
  takeNews(news: News): void
  /** Answers that were under way are lost. */
  lost(error: ShiftworkError): void
}

export interface BusOptions {
  readonly address: BusAddress
  readonly user: BusUser
  /** Default: Redis. */
  readonly open?: OpenBroker | undefined
}

/** When the broker was away, others come back within so long: until then nobody knows who is there. */
const RETURN_MS = 5_000
/** What the broker has not taken yet: beyond, nothing is sent. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024
/** What a message costs beside its bytes. */
const MESSAGE_BYTES = 512
const CLOSE_MS = 1_000
const COMPLAIN_EVERY_MS = 60_000

export class Bus {
  readonly #user: BusUser
  readonly #name: string
  readonly #prefix: string
  readonly #uplink: Uplink
  #waitingBytes = 0
  #onAllTaken: () => void = () => undefined
  #complainedAt = -Infinity

  constructor({ address, user, open = openRedis }: BusOptions) {
    this.#user = user
    this.#name = address.shown
    this.#prefix = `shiftwork:${address.namespace}`
    const place = {
      address,
      channels: [this.#channelOf(user.name), `${this.#prefix}:news`],
      list: `${this.#prefix}:gateways`,
      onMessage: (channel: string, bytes: Buffer) => this.#hear(channel, bytes),
    }
    this.#uplink = new Uplink({
      name: this.#name,
      open: (onLost) => open({ ...place, onLost }),
      beat: (broker, brokerNow) => user.beat(broker, brokerNow),
      onLost: () => this.#loseAnswers(),
    })
  }

  /**
   * The first attempt is over, however it went, and what is known is not old.
   * @throws ShiftworkError `ERR_OPTION` when none can succeed.
   */
  ready(): Promise<void> {
    return this.#uplink.ready()
  }

  get isUp(): boolean {
    return this.#uplink.broker !== null
  }

  /** Null: everybody who is there is known. For people. */
  get doubt(): string | null {
    const { backAt, wasAwayForLong, reason, isStale } = this.#uplink
    if (!this.isUp) return `${this.#name} is away: ${reason}`
    if (isStale) return `${this.#name} was not asked for a while, since this process stood still: others may have come`
    if (backAt === null || performance.now() - backAt > RETURN_MS) return null
    if (!wasAwayForLong && this.#user.hasEverybody) return null
    return `${this.#name} was away until a moment ago: others may not be back yet`
  }

  /** For who wants what cannot be had: nothing was done. */
  error(): ShiftworkError {
    return new ShiftworkError('ERR_BUS', `The gateways of other machines cannot be reached: ${this.doubt ?? 'away'}`, {
      hint: 'Clients of this machine are not affected; try again when Redis is back.',
    })
  }

  /** @returns what the broker says; rejects with `ERR_BUS`. */
  async ask<Told>(question: (broker: Broker) => Promise<Told>): Promise<Told> {
    const { broker } = this.#uplink
    if (!broker) throw this.error()
    try {
      return await question(broker)
    } catch (cause) {
      throw new ShiftworkError('ERR_BUS', `${this.#name}: ${messageOf(cause)}`, { cause })
    }
  }

  /**
   * @param validMs whoever hears it later does nothing: a message may lie in a buffer for a long time.
   * @returns how many have heard it: 0 or 1. Rejects with `ERR_BUS`, `ERR_SEND_BUFFER_FULL`.
   */
  async publish(to: string, { records, validMs }: { records: Uint8Array; validMs: number }): Promise<number> {
    const bytes = encodeMessage({ from: this.#user.name, until: this.#uplink.brokerNow + validMs, records })
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

  /** Waits a moment for what is being sent, and ends. */
  async close(): Promise<void> {
    if (this.#waitingBytes > 0 && this.isUp) {
      const taken = new Promise<void>((resolve) => {
        this.#onAllTaken = resolve
      })
      // what is not taken by then is lost
      await within(taken, CLOSE_MS, { reason: 'the broker is slow' }).catch(() => undefined)
    }
    this.#uplink.close()
    this.#loseAnswers()
  }

  #loseAnswers(): void {
    const message = `The connection to ${this.#name} was lost: nobody knows what was done`
    this.#user.lost(new ShiftworkError('ERR_CONNECTION_CLOSED', message))
  }

  /** Anybody who can reach the broker can say anything. */
  #hear(channel: string, bytes: Buffer): void {
    try {
      if (channel === this.#channelOf(this.#user.name)) this.#take(decodeMessage(bytes))
      else this.#user.takeNews(decodeNews(bytes))
    } catch (error) {
      this.#complain(error)
    }
  }

  #take(message: Message): void {
    if (message.until > this.#uplink.brokerNow) this.#user.take(message)
  }

  #complain(error: unknown): void {
    const now = performance.now()
    if (now - this.#complainedAt < COMPLAIN_EVERY_MS) return
    this.#complainedAt = now
    console.error(`shiftwork: somebody says on the bus ${this.#name} what makes no sense: ${messageOf(error)}`)
  }

  #channelOf(name: string): string {
    return `${this.#prefix}:to:${name}`
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
