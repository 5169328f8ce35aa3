/** The server for what a worker speaks: one of the protocols, chosen by its address. */
import type { Server } from 'node:net'
import { type Protocol as Scheme, speechOf } from '../address.ts'
import { checkHooks } from './callable.ts'
import type { Owner } from './connection.ts'
import type { Runnable } from './hooks.ts'
import { createWebServer, hasHandler } from './http/http.ts'
import { createStreamServer } from './stream/stream-server.ts'

/** Not listening yet. A server of `node:http` becomes `worker.server`. */
export async function createServer(runnable: Runnable, scheme: Scheme, owner: Owner): Promise<Server> {
  const speech = speechOf(scheme)
  if (speech !== 'http' && speech !== 'websocket') return createStreamServer(runnable, scheme, owner)
  // loaded only where it is spoken
  const create = speech === 'http' ? createWebServer : (await import('./websocket/websocket.ts')).createWebSocketServer
  const server = create(runnable, scheme, owner)
  runnable.subject.server = server
  return server
}

/**
 * @returns what is missing in a worker that would answer nothing; null: nothing is.
 * @throws ShiftworkError `ERR_OPTION` when a hook is something that cannot be called.
 */
export function missingHandler(runnable: Runnable, scheme: Scheme): string | null {
  checkHooks(runnable.subject)
  const { onMessage, onConnect, onWebSocketConnect } = runnable.subject
  if (speechOf(scheme) === 'http') return hasHandler(runnable) ? null : 'worker.onRequest or worker.onMessage'
  if (speechOf(scheme) === 'udp') return onMessage ? null : 'worker.onMessage'
  if (onWebSocketConnect) return null
  return onMessage || onConnect ? null : 'worker.onMessage or worker.onConnect'
}
