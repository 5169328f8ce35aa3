/**
 * What a gateway and its peers say to each other, each a record of bytes: a letter for its type, fixed
 * numbers, then what has a length. Written into an `Outbox`, read from whole packets. What makes no sense is a
 * `RangeError`: it costs the link its life, and nothing else.
 */
import { ShiftworkError } from '../../index.ts'
import type { Data, Delivery } from '../types.ts'
import { MAX_PACKET_BYTES, PACKET_HEAD_BYTES } from './limits.ts'

/** Raised by each change of the records that an older side would not understand. */
export const WIRE_VERSION = 1

/** What happened to a client. */
export type EventKind = 'connect' | 'text' | 'bytes' | 'close'

export type WireRecord =
  /** The first of a peer. */
  | { readonly type: 'hello'; readonly value: unknown }
  /** The first of a gateway. */
  | { readonly type: 'welcome'; readonly value: unknown }
  /** From now on this business worker takes clients. */
  | { readonly type: 'serve' }
  /** From now on it takes nothing new; what it has, it finishes. `isFollowed`: it has crashed, and another one comes. */
  | { readonly type: 'leave'; readonly isFollowed?: true }
  /** All events of this client up to this one are handled. */
  | { readonly type: 'ack'; readonly client: number; readonly event: number }
  /** An event with which a worker was lost before is begun: when this one is lost, too, it may be why. */
  | { readonly type: 'begin'; readonly client: number; readonly event: number }
  /** It was begun alone, and this worker lives on: when that is lost later, it was not by this one. */
  | { readonly type: 'outlived'; readonly client: number; readonly event: number }
  | { readonly type: 'send'; readonly request: number; readonly to: string; readonly data: Data }
  | { readonly type: 'sent'; readonly request: number; readonly delivery: Delivery }
  | { readonly type: 'request'; readonly request: number; readonly value: unknown; readonly data: Data | null }
  | { readonly type: 'reply'; readonly request: number; readonly isError: boolean; readonly value: unknown }
  /** The client is this business worker's from now on. */
  | { readonly type: 'adopt'; readonly client: number; readonly value: unknown }
  /** Something about it has changed. */
  | { readonly type: 'state'; readonly client: number; readonly value: unknown }
  | {
      readonly type: 'event'
      readonly client: number
      readonly event: number
      readonly kind: EventKind
      /** It was handed to a worker before that has not acknowledged it. */
      readonly isRedelivered: boolean
      /** So many workers were lost while they had it. */
      readonly losses: number
      readonly bytes: Uint8Array
    }
  | { readonly type: 'ping' }
  | { readonly type: 'pong' }

/** What anybody may ask of a gateway, and gets an answer to. */
export type Asked = Extract<WireRecord, { type: 'send' | 'request' }>
/** And that answer. */
export type Answer = Extract<WireRecord, { type: 'sent' | 'reply' }>

const TYPES = [
  'hello',
  'welcome',
  'serve',
  'leave',
  'ack',
  'send',
  'sent',
  'request',
  'reply',
  'adopt',
  'state',
  'event',
  'ping',
  'pong',
  'begin',
  'outlived',
] as const satisfies readonly WireRecord['type'][]
const KINDS = ['connect', 'text', 'bytes', 'close'] as const satisfies readonly EventKind[]
const DELIVERIES = ['sent', 'buffered', 'full', 'gone'] as const satisfies readonly Delivery[]
const REDELIVERED = 0x80

/** Where records are written. */
export interface Sink {
  /** Room for so many bytes, all of which are written before the next call. */
  room(byteLength: number): { bytes: Buffer; at: number }
}

/** A packet with one record in it is not longer than a packet may be. */
export const MAX_RECORD_BYTES = MAX_PACKET_BYTES - PACKET_HEAD_BYTES

function tooLarge(byteLength: number): ShiftworkError {
  const message = `A command has ${byteLength} bytes with all that belongs to it, at most ${MAX_RECORD_BYTES} are sent`
  return new ShiftworkError('ERR_MESSAGE_TOO_LARGE', message, { hint: 'Say it in several.' })
}

/** A type and, at most, two numbers, a small one, and the length of what follows. */
const HEAD_BYTES = 1 + 4 + 4 + 1 + 4

/** @returns how many bytes it has. @throws ShiftworkError `ERR_MESSAGE_TOO_LARGE`: nothing is written. */
export function writeRecord(sink: Sink, record: WireRecord): number {
  switch (record.type) {
    case 'serve':
    case 'ping':
    case 'pong':
      return write(sink, { type: record.type })
    case 'leave':
      return write(sink, { type: 'leave', small: record.isFollowed ? 1 : 0 })
    case 'ack':
    case 'begin':
    case 'outlived':
      return write(sink, { type: record.type, first: record.client, second: record.event })
    case 'sent':
      return write(sink, { type: 'sent', first: record.request, small: DELIVERIES.indexOf(record.delivery) })
    case 'hello':
    case 'welcome':
      return write(sink, { type: record.type, text: JSON.stringify(record.value) })
    case 'adopt':
    case 'state':
      return write(sink, { type: record.type, first: record.client, text: JSON.stringify(record.value) })
    case 'reply':
      return write(sink, {
        type: 'reply',
        first: record.request,
        small: record.isError ? 1 : 0,
        text: JSON.stringify(record.value ?? null),
      })
    case 'event': {
      const small = KINDS.indexOf(record.kind) | (record.isRedelivered ? REDELIVERED : 0)
      // where an older reader does not look
      const text = record.losses === 0 ? '' : String(record.losses)
      return write(sink, { type: 'event', first: record.client, second: record.event, small, text, data: record.bytes })
    }
    case 'send':
      return write(sink, {
        type: 'send',
        first: record.request,
        small: kindOf(record.data),
        text: record.to,
        data: record.data,
      })
    case 'request':
      return write(sink, {
        type: 'request',
        first: record.request,
        small: kindOf(record.data),
        text: JSON.stringify(record.value),
        ...(record.data !== null && { data: record.data }),
      })
  }
}

/** 0: none · 1: text · 2: bytes */
function kindOf(data: Data | null): number {
  if (data === null) return 0
  return typeof data === 'string' ? 1 : 2
}

interface Fields {
  readonly type: WireRecord['type']
  readonly first?: number
  readonly second?: number
  readonly small?: number
  /** Its length is in the head. */
  readonly text?: string
  /** Its own length stands before it. */
  readonly data?: Data
}

function write(sink: Sink, { type, first = 0, second = 0, small = 0, text = '', data }: Fields): number {
  const textBytes = Buffer.byteLength(text)
  const dataBytes = data === undefined ? 0 : typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength
  const byteLength = HEAD_BYTES + textBytes + 4 + dataBytes
  if (byteLength > MAX_RECORD_BYTES) throw tooLarge(byteLength)
  const { bytes, at } = sink.room(byteLength)
  bytes[at] = TYPES.indexOf(type)
  bytes.writeUInt32BE(first, at + 1)
  bytes.writeUInt32BE(second, at + 5)
  bytes[at + 9] = small
  bytes.writeUInt32BE(textBytes, at + 10)
  const textAt = at + HEAD_BYTES
  if (textBytes > 0) bytes.write(text, textAt)
  bytes.writeUInt32BE(dataBytes, textAt + textBytes)
  const dataAt = textAt + textBytes + 4
  if (typeof data === 'string') bytes.write(data, dataAt)
  else if (data !== undefined) bytes.set(data, dataAt)
  return byteLength
}

/**
 * Reads all records of a packet.
 * @throws RangeError, SyntaxError when the bytes are no records.
 */
export function readRecords(packet: Buffer, take: (record: WireRecord) => void): void {
  let at = 0
  while (at < packet.length) {
    if (packet.length - at < HEAD_BYTES + 4) throw new RangeError('a record is cut off')
    const type = TYPES[packet[at] ?? TYPES.length]
    if (type === undefined) throw new RangeError(`there is no record of type ${packet[at]}`)
    const textAt = at + HEAD_BYTES
    const textEnd = textAt + packet.readUInt32BE(at + 10)
    if (textEnd + 4 > packet.length) throw new RangeError('a record is longer than its packet')
    const dataAt = textEnd + 4
    const end = dataAt + packet.readUInt32BE(textEnd)
    if (end > packet.length) throw new RangeError('a record is longer than its packet')
    take(recordOf(type, packet, { at, textAt, textEnd, dataAt, end }))
    at = end
  }
}

interface Places {
  readonly at: number
  readonly textAt: number
  readonly textEnd: number
  readonly dataAt: number
  readonly end: number
}

function recordOf(type: WireRecord['type'], packet: Buffer, places: Places): WireRecord {
  const { at, textAt, textEnd, dataAt, end } = places
  const first = packet.readUInt32BE(at + 1)
  const small = packet[at + 9] ?? 0
  const json = (): unknown => JSON.parse(packet.toString('utf8', textAt, textEnd))
  switch (type) {
    case 'serve':
    case 'ping':
    case 'pong':
      return { type }
    case 'leave':
      return small === 1 ? { type, isFollowed: true } : { type }
    case 'ack':
    case 'begin':
    case 'outlived':
      return { type, client: first, event: packet.readUInt32BE(at + 5) }
    case 'sent':
      return { type, request: first, delivery: known(DELIVERIES, small) }
    case 'hello':
    case 'welcome':
      return { type, value: json() }
    case 'adopt':
    case 'state':
      return { type, client: first, value: json() }
    case 'reply':
      return { type, request: first, isError: small === 1, value: json() }
    case 'event': {
      const kind = known(KINDS, small & ~REDELIVERED)
      const isRedelivered = (small & REDELIVERED) !== 0
      const losses = lossesOf(packet.toString('latin1', textAt, textEnd))
      const bytes = packet.subarray(dataAt, end)
      return { type, client: first, event: packet.readUInt32BE(at + 5), kind, isRedelivered, losses, bytes }
    }
    case 'send': {
      const data = dataOf(small, packet, places) ?? ''
      return { type, request: first, to: packet.toString('latin1', textAt, textEnd), data }
    }
    case 'request':
      return { type, request: first, value: json(), data: dataOf(small, packet, places) }
  }
}

function dataOf(kind: number, packet: Buffer, { dataAt, end }: Places): Data | null {
  if (kind === 0) return null
  return kind === 1 ? packet.toString('utf8', dataAt, end) : packet.subarray(dataAt, end)
}

function lossesOf(text: string): number {
  const losses = Number(text)
  if (!Number.isInteger(losses)) throw new RangeError(`a record says that ${text} workers were lost`)
  return losses
}

function known<Word>(words: readonly Word[], index: number): Word {
  const word = words[index]
  if (word === undefined) throw new RangeError(`a record says ${index} where nothing has that number`)
  return word
}
