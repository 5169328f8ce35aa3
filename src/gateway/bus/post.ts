/**
 * A gateway on the bus: it says that it is there, and does what processes of other machines ask for, with the same
 * code as what is asked over links. What makes no sense costs nobody anything.
 */
import { Outbox, recordsOf } from '../wire/packets.ts'
import { type Answer, type Asked, readRecords, WIRE_VERSION, writeRecord } from '../wire/records.ts'
import type { BusAddress } from './address.ts'
import type { Broker, OpenBroker } from './broker.ts'
import { Bus, type BusUser } from './bus.ts'
import { FORGOTTEN_AFTER_MS, SILENT_AFTER_MS } from './members.ts'
import type { Message } from './message.ts'
import { within } from './within.ts'

export interface PostOptions {
  readonly address: BusAddress
  readonly gateway: string
  /** @throws anything for what nobody asks for. */
  answer(record: Asked): Answer
  readonly open?: OpenBroker | undefined
}

const LEAVE_MS = 1_000
/** Late ones harm nobody. */
const ANSWER_VALID_MS = 600_000
const NOTHING = new Uint8Array()

export class Post implements BusUser {
  readonly name: string
  readonly #bus: Bus
  readonly #answer: PostOptions['answer']
  #isLeaving = false

  constructor({ address, gateway, answer, open }: PostOptions) {
    this.name = gateway
    this.#answer = answer
    this.#bus = new Bus({ address, user: this, open })
  }

  get isUp(): boolean {
    return this.#bus.isUp
  }

  /** It is there for others, or the bus is away. @throws ShiftworkError `ERR_OPTION`: it never will be. */
  ready(): Promise<void> {
    return this.#bus.ready()
  }

  /** It goes for ever: everybody is told. */
  async leave(): Promise<void> {
    this.#isLeaving = true
    const told = this.#bus.ask(async (broker) => {
      await broker.remove(this.name)
      await this.#bus.tell({ gone: this.name }, broker)
    })
    // without the bus it is silent soon
    await within(told, LEAVE_MS, { reason: 'the broker is slow', keepsAlive: true }).catch(() => undefined)
    await this.#bus.close()
  }

  // ---- for the bus -------------------------------------------------------------------------------------------------

  async beat(broker: Broker, brokerNow: number): Promise<void> {
    if (this.#isLeaving) return
    const isNew = await broker.put(this.name, brokerNow + SILENT_AFTER_MS)
    await broker.prune(brokerNow - FORGOTTEN_AFTER_MS)
    // also when somebody took it for dead, or the list was lost
    if (isNew) await this.#bus.tell({ came: this.name }, broker)
  }

  take({ version, from, records }: Message): void {
    if (version !== WIRE_VERSION) {
      // how they say things is not known; they see which version this is
      this.#reply(from, NOTHING)
      return
    }
    const outbox = new Outbox((packet) => this.#reply(from, recordsOf(packet)))
    try {
      readRecords(records, (record) => {
        if (record.type !== 'send' && record.type !== 'request') throw new RangeError(`a peer says ${record.type}`)
        writeRecord(outbox, this.#answer(record))
      })
    } finally {
      outbox.flush()
    }
  }

  takeNews(): void {
    // it asks nobody
  }

  /** It knows nobody. */
  readonly hasEverybody = true

  lost(): void {
    // who has asked something does not wait for the answer any more
  }

  /** Who gets no answer has a deadline. */
  #reply(to: string, records: Uint8Array): void {
    this.#bus.publish(to, { records, validMs: ANSWER_VALID_MS }).catch(() => undefined)
  }
}
