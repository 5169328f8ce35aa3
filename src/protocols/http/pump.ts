/**
 * Answers whose body is a stream: sent as fast as the client takes them, with an end that cannot be taken
 * for a whole answer when they break off. Called by the HTTP connection.
 */
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeWebStream } from 'node:stream/web'
import zlib from 'node:zlib'
import { STREAM_TYPE } from './sendable.ts'

/** They belong to one connection (RFC 9110, 7.6.1), and to this one others apply. */
const HOP_HEADERS = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'set-cookie']
/** `fetch` has unpacked the body, so what is said of it as it was packed does not hold any more. */
const PACKED_HEADERS = ['content-encoding', 'content-length']

/** The codings that the `fetch` of this Node.js unpacks; with one among them that it does not know, it unpacks none. */
const UNPACKED = new Set(['gzip', 'x-gzip', 'deflate', 'br', ...(unpacksZstd() ? ['zstd'] : [])])

/** Of undici since 7.11, where zlib has it. */
function unpacksZstd(): boolean {
  const [major = 0, minor = 0] = (process.versions['undici'] ?? '').split('.').map(Number)
  return 'createZstdDecompress' in zlib && (major > 7 || (major === 7 && minor >= 11))
}

function unpacks(codings: string | null): boolean {
  return codings?.split(',').every((coding) => UNPACKED.has(coding.trim().toLowerCase())) ?? false
}

/** Sends a web `Response`: its status, its headers, each of its cookies, its body. @throws as `pump`. */
export async function pumpResponse(response: ServerResponse, from: Response): Promise<void> {
  const isUnpacked = from.url !== '' && unpacks(from.headers.get('content-encoding'))
  const dropped = new Set(isUnpacked ? [...HOP_HEADERS, ...PACKED_HEADERS] : HOP_HEADERS)
  response.statusCode = from.status
  if (from.statusText) response.statusMessage = from.statusText
  for (const [name, value] of from.headers) if (!dropped.has(name)) response.setHeader(name, value)
  const cookies = from.headers.getSetCookie()
  if (cookies.length > 0) response.setHeader('Set-Cookie', cookies)
  await pump(response, from.body ? Readable.fromWeb(from.body as NodeWebStream) : null)
}

/** Sends bytes of which nothing else is known. @throws as `pump`. */
export function pumpBody(response: ServerResponse, body: Readable): Promise<void> {
  response.setHeader('Content-Type', STREAM_TYPE)
  return pump(response, body)
}

export function toReadable(body: AsyncIterable<string | Uint8Array>): Readable {
  return body instanceof Readable ? body : Readable.from(body, { objectMode: false })
}

/** Ends what nobody will read: its source may hold a file open. */
export function discard(body: Response | Readable): void {
  if (body instanceof Readable) end(body)
  else if (body.body && !body.body.locked) end(Readable.fromWeb(body.body as NodeWebStream))
}

/** A file that is opened only now may not be there, which is nobody's error any more. */
function end(body: Readable): void {
  body.on('error', () => undefined).destroy()
}

/**
 * Sends a body; the head is set and not written. A client that goes away ends the body, too.
 * @throws what the body has failed with, and `ERR_HTTP_CONTENT_LENGTH_MISMATCH` when it is longer or shorter
 * than its head says: the connection must not be used any more.
 */
export async function pump(response: ServerResponse, body: Readable | null): Promise<void> {
  if (!body || response.req.method === 'HEAD' || response.destroyed) {
    if (body) end(body)
    response.end()
    return
  }
  // what follows would be taken for the rest of it
  response.strictContentLength = true
  const abandon = (): void => void body.destroy()
  response.once('close', abandon)
  try {
    for await (const chunk of body) {
      if (response.destroyed) return
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array))
        throw new TypeError(`The stream holds ${typeof chunk}s: it must be text or bytes`)
      // only a head that is written knows what length it has promised
      if (!response.headersSent) response.writeHead(response.statusCode)
      if (!response.write(chunk)) await drainOrClose(response)
    }
    if (!response.destroyed) response.end()
  } catch (error) {
    // a body that is ended because the client went away says so
    if (!response.destroyed) throw error
  } finally {
    response.off('close', abandon)
    body.destroy()
  }
}

function drainOrClose(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
  })
}
