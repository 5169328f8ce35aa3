/** What can be sent over HTTP, and what becomes of it on the wire. */

/** Text, bytes, a web `Response`, or any other value as JSON. */
export type Sendable = string | Uint8Array | Response | object | number | boolean | null

/** Everything but a `Response`, as a body and its content type. */
export function encodeBody(value: Exclude<Sendable, Response>): { body: string | Uint8Array; type: string } {
  if (typeof value === 'string') return { body: value, type: 'text/html; charset=utf-8' }
  if (value instanceof Uint8Array) return { body: value, type: 'application/octet-stream' }
  return { body: JSON.stringify(value), type: 'application/json; charset=utf-8' }
}
