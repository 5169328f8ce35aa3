/**
 * Idle connections whose time is over. Node.js looks at its timers before it reads what has come, so a worker that
 * was blocked would close a connection with a request on it. Called by `http` for its server's `timeout`.
 */
import type { Server as HttpServer, IncomingMessage } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { exchangeOf } from './answer.ts'

/**
 * Closes it when what had come is read, and nothing had.
 * @returns false: it is none of ours. User code listens, or has set a time for what is under way.
 */
export function closeIfSilent(server: HttpServer | HttpsServer, socket: Socket): boolean {
  if (server.listenerCount('timeout') > 0 || isBusy(socket)) return false
  const { bytesRead } = socket
  setImmediate(() => {
    if (socket.bytesRead === bytesRead) socket.destroy()
  })
  return true
}

function isBusy(socket: Socket): boolean {
  const { parser } = socket as Socket & { parser?: { incoming?: IncomingMessage | null } | null }
  return exchangeOf(socket).open.length > 0 || parser?.incoming?.complete === false
}
