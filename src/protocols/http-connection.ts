/**
 * A connection that speaks HTTP, as hooks see it: a message is a request, and `send` answers the eldest
 * that has no answer. `node:http` reads and writes; what is on its way stands in the `Exchange`.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { exchangeOf } from './answer.ts'
import { Connection, type ConnectionState, connectionOn, type Owner } from './connection.ts'
import { encodeBody, type Sendable } from './sendable.ts'

export class HttpConnection extends Connection<Sendable> {
  get state(): ConnectionState {
    if (this.socket.destroyed) return 'closed'
    return exchangeOf(this.socket).isClosing ? 'closing' : 'open'
  }

  get isAtRest(): boolean {
    return exchangeOf(this.socket).open.length === 0 && this.bufferedBytes === 0
  }

  /** What is sent is the answer to a request. */
  override get takesPush(): boolean {
    return false
  }

  /** Answers the eldest request of this connection that has no answer yet. */
  send(value: Sendable): boolean | null {
    const response = exchangeOf(this.socket).open.find((candidate) => !candidate.headersSent)
    if (!response || this.socket.destroyed) return false
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

  close(value?: Sendable): void {
    const last = exchangeOf(this.socket).open.at(-1)
    if (last && !last.headersSent) last.setHeader('Connection', 'close')
    if (value !== undefined) this.send(value)
    if (!last) this.socket.end()
  }

  end(): void {
    this.close()
  }

  destroy(): void {
    this.socket.destroy()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** The last answer says `Connection: close`; `traffic` sees to that. */
  part(): void {
    // nothing to do here
  }

  /** HTTP has no such thing. */
  ping(): void {
    // and nothing that stands in for it
  }

  protected giveUp(): void {
    this.socket.destroy()
  }
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

/** The one Connection of a socket, made when somebody wants it. */
export function connectionOf(owner: Owner, socket: Socket): HttpConnection {
  const known = connectionOn(socket)
  return known instanceof HttpConnection ? known : new HttpConnection(owner, socket)
}
