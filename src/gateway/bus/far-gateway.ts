/** A gateway of another machine, as one that commands can be given to. */
import { ShiftworkError } from '../../index.ts'
import type { Target } from '../peer/link.ts'
import { Pending } from '../peer/pending.ts'
import type { Data, Delivery, Request } from '../types.ts'
import { Outbox, recordsOf } from '../wire/packets.ts'
import { type Asked, readRecords, WIRE_VERSION, writeRecord } from '../wire/records.ts'
import type { Bus } from './bus.ts'
import type { Message } from './message.ts'

/** Redis cuts off who has 32 MB waiting in its subscription (client-output-buffer-limit). */
const MAX_FAR_BYTES = 8 * 1024 * 1024

/** Who is waited for much longer, or less, than the others in a packet gets one of its own. */
const MAX_SPREAD_MS = 20

type Command = Asked & { data: Data | null }

export class FarGateway implements Target {
  readonly gateway: string
  readonly #bus: Bus
  readonly #pending: Pending
  readonly #outbox: Outbox
  /** Requests in the packet that is being filled. */
  #batch: number[] = []
  /** How long the one is waited for that is waited for least. */
  #validMs = 0

  constructor(gateway: string, bus: Bus) {
    this.gateway = gateway
    this.#bus = bus
    this.#pending = new Pending(gateway)
    this.#outbox = new Outbox((packet) => void this.#publish(packet))
  }

  send(to: string, data: Data, deadlineMs: number): Promise<Delivery> {
    return this.#ask({ type: 'send', request: this.#pending.next(), to, data }, deadlineMs) as Promise<Delivery>
  }

  request(value: Request, data: Data | null, deadlineMs: number): Promise<unknown> {
    return this.#ask({ type: 'request', request: this.#pending.next(), value, data }, deadlineMs)
  }

  /** @throws RangeError, SyntaxError, TypeError for what is no answer. */
  take({ version, records }: Message): void {
    if (version === WIRE_VERSION) {
      readRecords(records, (record) => {
        if (record.type !== 'sent' && record.type !== 'reply') throw new RangeError(`a gateway says ${record.type}`)
        this.#pending.settle(record)
      })
      return
    }
    const message = `The gateway ${this.gateway} speaks version ${version} on the bus, this is ${WIRE_VERSION}`
    const hint = 'Run the same version of Shiftwork on all machines.'
    this.lose(new ShiftworkError('ERR_BUS', message, { hint }))
  }

  /** Nothing that was asked will be answered. */
  lose(error: ShiftworkError): void {
    this.#pending.rejectAll(error)
  }

  /** Sends what is written. Resolves when all that was asked is answered, or late. */
  answered(): Promise<void> {
    this.#outbox.flush()
    return this.#pending.settled()
  }

  #ask(record: Command, deadlineMs: number): Promise<unknown> {
    if (!this.#bus.isUp) return Promise.reject(this.#bus.error())
    const byteLength = lengthOf(record)
    if (byteLength > MAX_FAR_BYTES) return Promise.reject(tooLarge(byteLength))
    // a packet has one time for all that stands in it, and what is late must not be done
    if (Math.abs(deadlineMs - this.#validMs) > MAX_SPREAD_MS) this.#outbox.flush()
    // where there is no room, what was written before it goes first, with its own time
    writeRecord(this.#outbox, record)
    this.#validMs = this.#batch.length === 0 ? deadlineMs : Math.min(this.#validMs, deadlineMs)
    this.#batch.push(record.request)
    return this.#pending.wait(record.request, deadlineMs)
  }

  async #publish(packet: Buffer): Promise<void> {
    const [batch, validMs] = [this.#batch, this.#validMs]
    this.#batch = []
    this.#validMs = 0
    const fail = (error: ShiftworkError): void => {
      for (const request of batch) this.#pending.take(request)?.reject(error)
    }
    try {
      if ((await this.#bus.publish(this.gateway, { records: recordsOf(packet), validMs })) === 0) fail(this.#unheard())
    } catch (error) {
      fail(error as ShiftworkError)
    }
  }

  #unheard(): ShiftworkError {
    return new ShiftworkError('ERR_BUS', `Gateway ${this.gateway} of another machine is not connected to the bus`, {
      hint: 'It has died, or comes back in a moment: look at its log.',
    })
  }
}

/** The longer of its two parts, in bytes. */
function lengthOf(command: Command): number {
  const text = command.type === 'send' ? command.to : JSON.stringify(command.value)
  return Math.max(Buffer.byteLength(text), Buffer.byteLength(command.data ?? ''))
}

function tooLarge(byteLength: number): ShiftworkError {
  return new ShiftworkError(
    'ERR_MESSAGE_TOO_LARGE',
    `A command has ${byteLength} bytes, at most ${MAX_FAR_BYTES} are sent to another machine`,
  )
}
