/** What can be sent over HTTP, and what becomes of it on the wire. Pure. */

/** Text, bytes, a web `Response`, a stream (what can be iterated with `for await`), or any other value as JSON. */
export type Sendable =
  | string
  | Uint8Array
  | Response
  | AsyncIterable<string | Uint8Array>
  | object
  | number
  | boolean
  | null

/** True for a Node.js stream, a web stream, an async generator. */
export function isStream(value: Sendable): value is AsyncIterable<string | Uint8Array> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

export const STREAM_TYPE = 'application/octet-stream'

/** Everything but a `Response` and a stream, as a body and its content type. */
export function encodeBody(value: Exclude<Sendable, Response>): { body: string | Uint8Array; type: string } {
  if (typeof value === 'string') return { body: value, type: 'text/html; charset=utf-8' }
  if (value instanceof Uint8Array) return { body: value, type: STREAM_TYPE }
  return { body: JSON.stringify(value), type: 'application/json; charset=utf-8' }
}
