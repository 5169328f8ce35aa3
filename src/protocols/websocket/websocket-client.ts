/**
 * The client's end of a WebSocket (RFC 6455): asks for it on a socket that is connected already, and makes a
 * connection of it. Loaded only by workers that connect to one.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Owner } from '../connection.ts'
import { OwnWebSocket, wireOptions } from './websocket.ts'
import { WebSocketConnection } from './websocket-connection.ts'
import type { WebSocketOptions } from './websocket-options.ts'
import { WebSocketRequest } from './websocket-request.ts'

/** What is asked for. */
export interface WebSocketTarget {
  /** `ws://host:port/path` */
  readonly url: string
  /** More headers of the request: `Authorization`, `Cookie` … */
  readonly headers: Readonly<Record<string, string>>
  readonly webSocket: WebSocketOptions
}

class ClientWebSocket extends OwnWebSocket {
  override get isClient(): boolean {
    return true
  }
}

/** Resolves when it is open; rejects with what went wrong. Destroy the socket to give up. */
export function openWebSocket(socket: Socket, owner: Owner, target: WebSocketTarget): Promise<void> {
  const { url, headers, webSocket } = target
  const wire = new ClientWebSocket(url, [...webSocket.protocols], {
    ...wireOptions(webSocket, owner.limits),
    headers: { ...headers },
    createConnection: () => socket,
  })
  return new Promise((resolve, reject) => {
    wire.once('error', reject)
    wire.once('unexpected-response', (_request, response: IncomingMessage) => {
      socket.destroy()
      reject(new Error(`it answers the handshake with ${response.statusCode}`))
    })
    wire.once('open', () => {
      wire.off('error', reject)
      const request = new WebSocketRequest({ url: new URL(url).pathname, headers: offer(wire.protocol) }, [
        wire.protocol,
      ])
      request.conclude()
      new WebSocketConnection(owner, socket, request).open(wire)
      resolve()
    })
  })
}

/** What the server has chosen stands in the request as the one thing that was offered. */
function offer(protocol: string): Record<string, string> {
  return protocol === '' ? {} : { 'sec-websocket-protocol': protocol }
}
