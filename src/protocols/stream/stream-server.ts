/**
 * The server of a worker whose protocol is a codec of ours or of the user's: plain or inside TLS. It
 * neither listens nor drains.
 */
import { createServer as createPlain, type Server, type Socket } from 'node:net'
import { createServer as createSecure } from 'node:tls'
import { isSecure, type Protocol as Scheme, speechOf } from '../../address.ts'
import type { Owner } from '../connection.ts'
import type { Runnable } from '../hooks.ts'
import { FRAME } from './frame.ts'
import type { Protocol } from './protocol.ts'
import { StreamConnection } from './stream.ts'
import { TCP } from './tcp.ts'
import { TEXT } from './text.ts'

/** A client that has ended may still be answered; one whose machine has gone is found out by the kernel. */
const OPTIONS = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }

/** The codec of a scheme; `protocol` stands in for bytes. */
export function codecOf(scheme: Scheme, protocol: Protocol | undefined): Protocol {
  if (protocol) return protocol
  const speech = speechOf(scheme)
  return (speech === 'text' ? TEXT : speech === 'frame' ? FRAME : TCP) as Protocol
}

/** A server that is not listening yet. */
export function createStreamServer(runnable: Runnable, scheme: Scheme, owner: Owner): Server {
  const codec = codecOf(scheme, runnable.protocol)
  const open = (socket: Socket): void => void new StreamConnection(owner, socket, codec).open()
  if (!isSecure(scheme)) return createPlain(OPTIONS, open)
  const server = createSecure({ ...OPTIONS, ...runnable.tls }, open)
  // a handshake that came to nothing costs nobody else anything
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}
