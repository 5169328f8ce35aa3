/**
 * The events of one client on their way to a business worker, in order: those that were handed over and are
 * not acknowledged, then those that wait. Pure: it decides nothing but what the order demands, and keeps the counts.
 */
import type { EventKind } from '../wire/records.ts'

export interface ClientEvent {
  /** Counts the events of a client, from 1. */
  readonly number: number
  readonly kind: EventKind
  readonly bytes: Uint8Array
  /** On the clock that the caller uses. */
  readonly cameAt: number
  isRedelivered: boolean
  /** Workers that were lost while they had it, and may have been lost by it. */
  losses: number
  /** Its worker has begun it, and may be lost by it; only known of one that was lost with a worker before. */
  isBegun: boolean
}

/**
 * An event with which so many workers were lost is given to no other. High, since kills from outside count as
 * well, and must not cost a message that does no harm.
 */
const MAX_LOSSES = 6

/** What an event costs beside its bytes. */
const OVERHEAD_BYTES = 64

export function sizeOf({ bytes }: Pick<ClientEvent, 'bytes'>): number {
  return bytes.byteLength + OVERHEAD_BYTES
}

export class Line {
  /** Handed over first, then waiting. */
  #events: ClientEvent[] = []
  /** How many of them are handed over. */
  #handedOver = 0
  #handedBytes = 0
  #byteLength = 0
  #lastNumber = 0

  /** All events that are not acknowledged. */
  get size(): number {
    return this.#events.length
  }

  get byteLength(): number {
    return this.#byteLength
  }

  get handedOver(): number {
    return this.#handedOver
  }

  get handedBytes(): number {
    return this.#handedBytes
  }

  get waiting(): number {
    return this.#events.length - this.#handedOver
  }

  /** The next to be handed over. */
  get next(): ClientEvent | undefined {
    return this.#events[this.#handedOver]
  }

  /** The eldest message that waits. */
  get nextMessage(): ClientEvent | undefined {
    for (let index = this.#handedOver; index < this.#events.length; index++) {
      const event = this.#events[index]
      if (event && isMessage(event.kind)) return event
    }
    return undefined
  }

  /** No worker ever had anything of it, and no message waits. */
  get isUnheard(): boolean {
    const [first] = this.#events
    return first?.number === 1 && this.#handedOver === 0 && !first.isRedelivered && !this.nextMessage
  }

  /**
   * A worker was lost with its first event, and maybe by it: until that is handled nothing else is handed over, so
   * that nothing else is suspected with it.
   */
  get isSuspected(): boolean {
    return (this.#events[0]?.losses ?? 0) > 0
  }

  push(kind: EventKind, bytes: Uint8Array, cameAt: number): ClientEvent {
    const event = { number: ++this.#lastNumber, kind, bytes, cameAt, isRedelivered: false, losses: 0, isBegun: false }
    this.#events.push(event)
    this.#byteLength += sizeOf(event)
    return event
  }

  /** The next one is handed over. @returns it; undefined: none waits, or none may go before the first one is handled. */
  handOver(): ClientEvent | undefined {
    const event = this.next
    if (!event || (this.isSuspected && this.#handedOver > 0)) return undefined
    this.#handedOver++
    this.#handedBytes += sizeOf(event)
    return event
  }

  /** Everything up to this number is handled. @returns how many events and bytes that was; a number that was not handed over: none. */
  acknowledge(number: number): { events: number; bytes: number } {
    let events = 0
    let bytes = 0
    for (const event of this.#events) {
      if (events === this.#handedOver || event.number > number) break
      events++
      bytes += sizeOf(event)
    }
    this.#forget(events, bytes)
    return { events, bytes }
  }

  #forget(events: number, bytes: number): void {
    if (events === 0) return
    this.#events = this.#events.slice(events)
    this.#handedOver -= events
    this.#handedBytes -= bytes
    this.#byteLength -= bytes
  }

  /** Its worker begins an event that was lost before; a number that it was not handed stands for nothing. */
  begin(number: number): void {
    const event = this.#findHandedOver(number)
    if (event) event.isBegun = true
  }

  /** It was tried alone, and its worker lives on: if that is lost later, it was not by this one. */
  outlive(number: number): void {
    const event = this.#findHandedOver(number)
    if (event) event.isBegun = false
  }

  #findHandedOver(number: number): ClientEvent | undefined {
    return this.#events.slice(0, this.#handedOver).find((handed) => handed.number === number)
  }

  /**
   * The worker that had them is gone: what it had not acknowledged waits again, before everything else, and is
   * marked.
   * @param wasLost it has not left in order: an event that it had begun may be why.
   * @returns those with which too many were lost: they are dropped.
   */
  takeBack({ wasLost }: { wasLost: boolean }): ClientEvent[] {
    const handed = this.#events.slice(0, this.#handedOver)
    for (const event of handed) {
      event.isRedelivered = true
      // of those that come for the first time nobody says which of them were begun
      if (wasLost && (event.losses === 0 || event.isBegun)) event.losses++
      event.isBegun = false
    }
    this.#handedOver = 0
    this.#handedBytes = 0
    const fatal = handed.filter(({ losses }) => losses >= MAX_LOSSES)
    this.#drop(fatal)
    return fatal
  }

  /** Where a message may be handled once at most: those that were handed over are lost. @returns how many those were. */
  loseHandedOver(): number {
    // that a client has come and gone is no message
    const lost = this.#events.slice(0, this.#handedOver).filter(({ kind }) => isMessage(kind))
    this.#handedOver -= lost.length
    this.#handedBytes -= lost.reduce((sum, event) => sum + sizeOf(event), 0)
    this.#drop(lost)
    return lost.length
  }

  /** The eldest message that waits and came before `before`, if there is one, is dropped. */
  dropOldest(before = Number.POSITIVE_INFINITY): ClientEvent | undefined {
    const event = this.nextMessage
    if (!event || event.cameAt >= before) return undefined
    this.#drop([event])
    return event
  }

  /** The last event, if it is a message that waits, is dropped. */
  dropNewest(): ClientEvent | undefined {
    const event = this.#events.at(-1)
    if (!event || this.waiting === 0 || !isMessage(event.kind)) return undefined
    this.#drop([event])
    return event
  }

  /** All messages that wait are dropped. @returns how many those were. */
  dropWaiting(): number {
    const dropped = this.#events.slice(this.#handedOver).filter(({ kind }) => isMessage(kind))
    this.#drop(dropped)
    return dropped.length
  }

  #drop(dropped: readonly ClientEvent[]): void {
    if (dropped.length === 0) return
    const isDropped = new Set(dropped)
    this.#events = this.#events.filter((event) => !isDropped.has(event))
    this.#byteLength -= dropped.reduce((sum, event) => sum + sizeOf(event), 0)
  }
}

function isMessage(kind: EventKind): boolean {
  return kind === 'text' || kind === 'bytes'
}
