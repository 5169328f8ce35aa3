/**
 * One client, as `onConnect`, `onMessage` and `onClose` see it. Over HTTP a message is a request,
 * and `send` answers the eldest that has no answer.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { exchangeOf } from './answer.ts'

/** What can be sent over HTTP: text, bytes, a web `Response`, or any other value as JSON. */
export type Sendable = string | Uint8Array | Response | object | number | boolean | null

export class Connection {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** The client's address, undefined on a unix socket and after the connection is closed. */
  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort
  }

  /**
   * Answers the eldest request of this connection that has no answer yet.
   * @returns true: handed to the kernel; null: buffered; false: dropped, there is nothing to answer.
   */
  send(value: Sendable): boolean | null {
    const response = exchangeOf(this.#socket).open.find((candidate) => !candidate.headersSent)
    if (!response || this.#socket.destroyed) return false
    if (value instanceof Response) {
      sendResponse(response, value).catch((error: unknown) => response.destroy(error as Error))
      return null
    }
    const { body, type } = encodeBody(value)
    if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', type)
    response.setHeader('Content-Length', Buffer.byteLength(body))
    response.end(body)
    return response.writableNeedDrain ? null : true
  }

  /** Sends, if something is given, and closes once everything is delivered. */
  close(value?: Sendable): void {
    const last = exchangeOf(this.#socket).open.at(-1)
    if (last && !last.headersSent) last.setHeader('Connection', 'close')
    if (value !== undefined) this.send(value)
    if (!last) this.#socket.end()
  }
}

function encodeBody(value: Exclude<Sendable, Response>): { body: string | Uint8Array; type: string } {
  if (typeof value === 'string') return { body: value, type: 'text/html; charset=utf-8' }
  if (value instanceof Uint8Array) return { body: value, type: 'application/octet-stream' }
  return { body: JSON.stringify(value), type: 'application/json; charset=utf-8' }
}

async function sendResponse(response: ServerResponse, from: Response): Promise<void> {
  response.statusCode = from.status
  if (from.statusText) response.statusMessage = from.statusText
  for (const [name, value] of from.headers) if (name !== 'set-cookie') response.setHeader(name, value)
  const cookies = from.headers.getSetCookie()
  if (cookies.length > 0) response.setHeader('Set-Cookie', cookies)
  if (from.body) {
    for await (const chunk of from.body) {
      if (response.destroyed) return
      if (!response.write(chunk)) await drainOrClose(response)
    }
  }
  response.end()
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

const CONNECTION = Symbol('shiftwork.connection')

/** The one Connection of a socket. */
export function connectionOf(socket: Socket): Connection {
  const holder = socket as Socket & { [CONNECTION]?: Connection }
  holder[CONNECTION] ??= new Connection(socket)
  return holder[CONNECTION]
}
