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

/**
 * Everything but a `Response` and a stream, as a body and its content type.
 * @throws TypeError for what has no JSON: a promise, a Blob, a Map would be sent as `{}`.
 */
export function encodeBody(value: Exclude<Sendable, Response>): { body: string | Uint8Array; type: string } {
  if (typeof value === 'string') return { body: value, type: 'text/html; charset=utf-8' }
  if (value instanceof Uint8Array) return { body: value, type: STREAM_TYPE }
  if (typeof (value as PromiseLike<unknown> | null)?.then === 'function')
    throw new TypeError('A promise cannot be sent: await it, and send what comes of it')
  const body = JSON.stringify(value) as string | undefined
  if (body === undefined) throw new TypeError(`What is sent is ${String(value)}: it has no JSON`)
  if (body === '{}') demandOwnJson(value)
  return { body, type: 'application/json; charset=utf-8' }
}

const REMEDIES: Readonly<Record<string, string>> = {
  Blob: 'send its stream()',
  File: 'send its stream()',
  ArrayBuffer: 'send new Uint8Array(…) of it',
  URLSearchParams: 'send String(…) of it',
  Map: 'send Object.fromEntries(…) of it',
  Set: 'send [...it]',
  Error: 'send its message, or throw it',
}

/** What a class of the language keeps inside is not in its JSON, while a class of the user's may be empty. */
function demandOwnJson(value: unknown): void {
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (kind === 'Object' || typeof (value as { toJSON?: unknown }).toJSON === 'function') return
  throw new TypeError(`${kind} has no JSON, and cannot be sent: ${REMEDIES[kind] ?? 'send what is in it'}`)
}
