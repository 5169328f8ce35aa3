/**
 * What can be told of an open connection, whether or not a Connection was made of it: of HTTP none is
 * until a hook wants it. Asked by the worker for the command `connections`.
 */
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { Server as NetServer, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { ConnectionFacts } from '../ipc/connections.ts'
import { idOf } from './carrier.ts'
import { connectionOn } from './connection.ts'
import { exchangeOf } from './http/answer.ts'
import { HttpConnection } from './http/http-connection.ts'
import type { Opened } from './traffic.ts'

/** @param now on the clock of `performance.now()`. */
export function factsOf(opened: Opened, now: number): ConnectionFacts {
  const { socket, since } = opened
  const { protocol, state, idleMs } = speechOf(opened)
  const ageMs = Math.round(now - since)
  const silentMs = idleMs ?? (socket.bytesRead === 0 ? ageMs : null)
  return {
    id: idOf(socket),
    protocol,
    state,
    remote: endpoint(socket.remoteAddress, socket.remotePort),
    local: endpoint(socket.localAddress, socket.localPort),
    bytesRead: socket.bytesRead,
    bytesWritten: socket.bytesWritten,
    bufferedBytes: socket.writableLength,
    ageMs,
    // it is not accepted and made in the same instant
    idleMs: silentMs === null ? null : Math.min(silentMs, ageMs),
  }
}

type Speech = Pick<ConnectionFacts, 'protocol' | 'state' | 'idleMs'>

function speechOf({ socket, stage }: Opened): Speech {
  const connection = connectionOn(socket)
  // one that is not of HTTP knows all about itself
  if (connection && !(connection instanceof HttpConnection)) {
    const { protocol, state, idleMs } = connection
    return { protocol, state: state === 'closed' ? 'closing' : state, idleMs: Math.round(idleMs) }
  }
  const protocol = protocolOf(socket, stage === 'handshake')
  if (stage !== 'spoken') return { protocol, state: stage === 'upgraded' ? 'upgraded' : 'opening', idleMs: null }
  return { protocol, state: exchangeOf(socket).last ? 'closing' : 'open', idleMs: null }
}

function protocolOf(socket: Socket, isHandshake: boolean): string {
  const { server } = socket as Socket & { server?: NetServer }
  const isSecure = isHandshake || socket instanceof TLSSocket
  if (server instanceof HttpServer || server instanceof HttpsServer) return isSecure ? 'https' : 'http'
  return isSecure ? 'tls' : 'tcp'
}

function endpoint(address: string | undefined, port: number | undefined): string | null {
  if (address === undefined || port === undefined) return null
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
