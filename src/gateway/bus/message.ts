/**
 * What one process tells another over the bus: which version of the records it speaks, who it is, until when it waits,
 * and records; and what is said to all: who has come and who has gone. The two first fields are the same in every
 * version.
 */
import { isGatewayId } from '../ids.ts'
import { WIRE_VERSION } from '../wire/records.ts'

export interface Message {
  readonly version: number
  /** Under that name answers find them. */
  readonly from: string
  /** By the broker's clock, in ms since 1970: nobody waits for it any more. Of another version: nobody knows. */
  readonly until: number
  /** A packet without its head; of another version: nobody knows. */
  readonly records: Buffer
}

/** A gateway has come, or has gone for ever. */
export type News = { readonly came: string } | { readonly gone: string }

const HEAD_BYTES = 2
const TIME_BYTES = 8

export function encodeMessage({
  from,
  until,
  records,
}: Omit<Message, 'version' | 'records'> & { records: Uint8Array }): Buffer {
  const head = Buffer.alloc(HEAD_BYTES + from.length + TIME_BYTES)
  head[0] = WIRE_VERSION
  head[1] = from.length
  head.write(from, HEAD_BYTES, 'latin1')
  head.writeDoubleBE(until, HEAD_BYTES + from.length)
  return Buffer.concat([head, records])
}

/** @throws RangeError for what is no message. */
export function decodeMessage(bytes: Buffer): Message {
  const [version = 0, length = 0] = bytes
  const from = bytes.toString('latin1', HEAD_BYTES, HEAD_BYTES + length)
  if (!isGatewayId(from)) throw new RangeError('a message does not say who it is from')
  const rest = bytes.subarray(HEAD_BYTES + length)
  if (version !== WIRE_VERSION) return { version, from, until: Infinity, records: rest }
  // RangeError: it is cut off
  return { version, from, until: rest.readDoubleBE(), records: rest.subarray(TIME_BYTES) }
}

export function encodeNews(news: News): Buffer {
  return Buffer.from(JSON.stringify(news))
}

/** @throws SyntaxError, RangeError for what is no news. */
export function decodeNews(bytes: Buffer): News {
  const { came, gone } = (JSON.parse(bytes.toString()) ?? {}) as { came?: unknown; gone?: unknown }
  if (typeof came === 'string' && isGatewayId(came)) return { came }
  if (typeof gone === 'string' && isGatewayId(gone)) return { gone }
  throw new RangeError('it is no news of a gateway')
}
