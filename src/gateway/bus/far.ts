/** All gateways on the bus, for whoever commands gateways: who they are, and what to say of those out of reach. */
import { ShiftworkError } from '../../index.ts'
import { createGatewayId, isGatewayId } from '../ids.ts'
import { EVERY_FAR_GATEWAY } from '../peer/asker.ts'
import { Deadline } from '../peer/deadline.ts'
import type { Target } from '../peer/link.ts'
import type { Missing } from '../types.ts'
import type { BusAddress } from './address.ts'
import type { Broker, OpenBroker } from './broker.ts'
import { Bus, type BusUser } from './bus.ts'
import { FarGateway } from './far-gateway.ts'
import { Members, SILENT_AFTER_MS } from './members.ts'
import type { Message, News } from './message.ts'
import { within } from './within.ts'

/** Of the time for a command that goes to all: a bus that is not known to be there or away by then is away. */
const READY_SHARE = 0.5

export interface FarOptions {
  readonly address: BusAddress
  readonly open?: OpenBroker | undefined
}

export class Far implements BusUser {
  /** Answers come to it. */
  readonly name = createGatewayId()
  readonly #bus: Bus
  readonly #members = new Members()
  readonly #gateways = new Map<string, FarGateway>()
  /** Who was there when the connection was lost, and when that was. */
  readonly #former = new Map<string, number>()
  /** When the list was asked for that is known: who is silent is judged by it, since we may have heard nobody since then. */
  #judgedAt = -Infinity

  constructor({ address, open }: FarOptions) {
    this.#bus = new Bus({ address, user: this, open })
  }

  get isUp(): boolean {
    return this.#bus.isUp
  }

  /** Who is there is known, or the bus is away. @throws ShiftworkError `ERR_OPTION`: it never will be. */
  ready(): Promise<void> {
    return this.#bus.ready()
  }

  /** Null: there is no such gateway. Rejects with `ERR_BUS` when nobody knows. */
  async find(gateway: string, deadlineMs: number): Promise<Target | null> {
    if (!isGatewayId(gateway)) return null
    const deadline = new Deadline(deadlineMs)
    await this.#inTime(this.#bus.ready(), deadline.leftMs)
    const standing = this.#members.standing(gateway, this.#judgedAt)
    if (standing === 'gone') return null
    if (!this.#bus.isUp) throw this.#bus.error()
    if (standing === 'live') return this.#gatewayOf(gateway)
    if (standing === 'silent') throw this.#silent(gateway)
    return this.#lookUp(gateway, deadline.leftMs)
  }

  /** It may have come a moment ago. */
  async #lookUp(gateway: string, deadlineMs: number): Promise<Target | null> {
    const asked = this.#bus.ask(async (broker) => [await broker.probe(), await broker.find(gateway)] as const)
    const [brokerNow, silentAt] = await this.#inTime(asked, deadlineMs)
    if (silentAt !== null && silentAt > brokerNow) return this.#gatewayOf(gateway)
    if (silentAt !== null) throw this.#silent(gateway)
    if (this.#bus.doubt !== null) throw this.#bus.error()
    return null
  }

  /** Those of this machine may be among them. */
  async all(deadlineMs: number): Promise<{ targets: Target[]; missing: Missing[] }> {
    // those of this machine are asked after that, and need time, too
    await this.#inTime(this.#bus.ready(), deadlineMs * READY_SHARE).catch((error: ShiftworkError) => {
      if (error.code === 'ERR_OPTION') throw error
    })
    const { doubt } = this.#bus
    const missing = doubt === null ? [] : [{ gateway: EVERY_FAR_GATEWAY, reason: doubt }]
    if (!this.#bus.isUp) return { targets: [], missing }
    const live = this.#members.live(this.#judgedAt)
    return { targets: live.map((gateway) => this.#gatewayOf(gateway)), missing }
  }

  /** A gateway of this machine has died: everybody is told. */
  bury(gateway: string): void {
    if (this.#forget(gateway)) this.#spread(gateway)
  }

  /** Sends what is written, and ends when all that was asked is answered, or late. */
  async close(): Promise<void> {
    await Promise.all([...this.#gateways.values()].map((gateway) => gateway.answered()))
    await this.#bus.close()
  }

  #gatewayOf(name: string): FarGateway {
    const known = this.#gateways.get(name)
    if (known) return known
    const gateway = new FarGateway(name, this.#bus)
    this.#gateways.set(name, gateway)
    return gateway
  }

  /** @returns whether it was not known to be dead. */
  #forget(gateway: string): boolean {
    this.#gateways.get(gateway)?.lose(died(gateway))
    this.#gateways.delete(gateway)
    return this.#members.died(gateway, performance.now())
  }

  #spread(gateway: string): void {
    const told = this.#bus.ask(async (broker) => {
      await broker.remove(gateway)
      await this.#bus.tell({ gone: gateway }, broker)
    })
    // while it is in the list, this is tried again
    told.catch(() => undefined)
  }

  async #inTime<Value>(promise: Promise<Value>, deadlineMs: number): Promise<Value> {
    const reason = `the bus has not answered within ${deadlineMs} ms`
    try {
      return await within(promise, deadlineMs, { reason, keepsAlive: true })
    } catch (error) {
      throw error instanceof ShiftworkError ? error : new ShiftworkError('ERR_BUS', reason)
    }
  }

  #silent(gateway: string): ShiftworkError {
    const seconds = Math.round(this.#members.silence(gateway, performance.now()) / 1_000)
    return new ShiftworkError('ERR_BUS', `Gateway ${gateway} of another machine was not heard of for ${seconds} s`, {
      hint: 'Its machine is cut off from the bus, or has died.',
    })
  }

  // ---- for the bus -------------------------------------------------------------------------------------------------

  async beat(broker: Broker, brokerNow: number): Promise<void> {
    const askedAt = performance.now()
    const list = await broker.list()
    const silentAt = [...list].map(([gateway, at]) => [gateway, askedAt + at - brokerNow] as const)
    const dead = this.#members.replace(new Map(silentAt), { askedAt, now: performance.now() })
    this.#judgedAt = askedAt
    for (const gateway of dead) this.#spread(gateway)
    for (const gateway of this.#gateways.keys())
      if (this.#members.standing(gateway, askedAt) === 'unknown') this.#gateways.delete(gateway)
  }

  take(message: Message): void {
    this.#gateways.get(message.from)?.take(message)
  }

  takeNews(news: News): void {
    if ('came' in news) this.#members.came(news.came, performance.now())
    else this.#forget(news.gone)
  }

  get hasEverybody(): boolean {
    const now = performance.now()
    const isKnown = (gateway: string): boolean =>
      ['live', 'gone'].includes(this.#members.standing(gateway, this.#judgedAt))
    return [...this.#former].every(([gateway, lostAt]) => now - lostAt > SILENT_AFTER_MS || isKnown(gateway))
  }

  lost(error: ShiftworkError): void {
    const now = performance.now()
    for (const [gateway, lostAt] of this.#former) if (now - lostAt > SILENT_AFTER_MS) this.#former.delete(gateway)
    for (const gateway of this.#members.live(this.#judgedAt)) this.#former.set(gateway, now)
    for (const gateway of this.#gateways.values()) gateway.lose(error)
  }
}

function died(gateway: string): ShiftworkError {
  return new ShiftworkError('ERR_CONNECTION_CLOSED', `Gateway ${gateway} has died: nobody knows what it has done`)
}
