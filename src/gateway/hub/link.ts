/**
 * One link that somebody has opened to this gateway: reads what they say, and writes to them. Until they
 * have said who they are, with the same version, nothing else is taken from them.
 */
import type { Connection } from '../../index.ts'
import { measurePacket, Outbox } from '../wire/packets.ts'
import { readRecords, WIRE_VERSION, type WireRecord, writeRecord } from '../wire/records.ts'
import type { BusinessLink, HubClient } from './model.ts'

/** Who a peer says that it is. */
export interface Hello {
  readonly version: number
  readonly role: 'business' | 'client'
  readonly pid: number
  /** Of its group; empty outside a fleet. */
  readonly name: string
}

/** Who has not said who they are need not be listened to for long. */
const MAX_HELLO_BYTES = 64 * 1024

export class HubLink implements BusinessLink {
  state: BusinessLink['state'] = 'ready'
  readonly clients = new Set<HubClient>()
  readonly starved = new Set<HubClient>()
  hasCrashed = false
  handedBytes = 0
  toldBytes = 0
  /** null: it has not said it. */
  hello: Hello | null = null
  readonly #connection: Connection<Uint8Array>
  readonly #outbox: Outbox
  readonly #take: (link: HubLink, record: WireRecord) => void

  constructor(connection: Connection<Uint8Array>, take: (link: HubLink, record: WireRecord) => void) {
    this.#connection = connection
    this.#take = take
    this.#outbox = new Outbox((packet) => {
      // a link that has lost a packet would lie from then on
      if (connection.send(packet) === false) connection.destroy()
    })
  }

  write(record: WireRecord): number {
    return writeRecord(this.#outbox, record)
  }

  /**
   * How long the packet is that these bytes begin with; 0: that cannot be told yet.
   * @throws RangeError for one that is too long.
   */
  measure(buffer: Buffer): number {
    const byteLength = measurePacket(buffer)
    if (this.hello === null && byteLength > MAX_HELLO_BYTES)
      throw new RangeError(`a link begins with ${byteLength} bytes`)
    return byteLength
  }

  /** @throws RangeError, SyntaxError, TypeError for what is no packet of ours: it ends the link. */
  read(packet: Buffer): void {
    readRecords(packet, (record) => {
      if (this.state === 'closed') return
      if (this.hello) this.#take(this, record)
      else this.#meet(record)
    })
  }

  #meet(record: WireRecord): void {
    if (record.type !== 'hello') throw new RangeError(`a link begins with ${record.type}`)
    const hello = parseHello(record.value)
    this.#take(this, record)
    if (hello.version === WIRE_VERSION) {
      this.hello = hello
      return
    }
    // it has been told which version this is
    this.#outbox.flush()
    this.#connection.close()
  }

  close(): void {
    this.#outbox.flush()
    this.#connection.close()
  }
}

function parseHello(value: unknown): Hello {
  const { version, role, pid, name } = (value ?? {}) as Partial<Hello>
  const isRole = role === 'business' || role === 'client'
  if (typeof version !== 'number' || !isRole || typeof pid !== 'number' || typeof name !== 'string')
    throw new RangeError('a link does not say who it is')
  return { version, role, pid, name }
}
