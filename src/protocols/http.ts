/**
 * The `http://` and `https://` server of a worker: creates the `node:http` server and leads its
 * requests to `onRequest`, or read whole to `onMessage`. It neither listens nor drains.
 */
import {
  createServer as createHttp,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttps, type Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { isSecure, type Protocol as Scheme } from '../address.ts'
import { describeError } from '../errors.ts'
import { comesTooLate, exchangeOf, refuse } from './answer.ts'
import type { Owner } from './connection.ts'
import type { Runnable } from './hooks.ts'
import { connectionOf } from './http-connection.ts'
import { HttpRequest, readBody } from './http-request.ts'
import { isUnseen } from './unseen.ts'

/** Properties of a server that `createServer` does not take as options. */
const PROPERTIES = ['timeout', 'maxRequestsPerSocket', 'maxHeadersCount'] as const

/** A server that is not listening yet; its handlers are looked up at each request. */
export function createWebServer(runnable: Runnable, scheme: Scheme, owner: Owner): HttpServer | HttpsServer {
  const web: Web = { runnable, owner, otherwise: answerMessage }
  const server = createRequestServer(web, scheme)
  server.on(isSecure(scheme) ? 'secureConnection' : 'connection', (socket: Socket) => announce(web, socket))
  return server
}

/** A server whose requests go to `onRequest`, and of whose connections nobody is told. */
export function createRequestServer(web: Web, scheme: Scheme): HttpServer | HttpsServer {
  const { runnable } = web
  const server = isSecure(scheme)
    ? createHttps({ ...runnable.serverOptions, ...runnable.tls })
    : createHttp(runnable.serverOptions)
  const given = runnable.serverOptions as Record<string, unknown>
  for (const property of PROPERTIES)
    if (typeof given[property] === 'number') Object.assign(server, { [property]: given[property] })
  const listener = (request: IncomingMessage, response: ServerResponse): void => dispatch(web, request, response)
  ownListeners.add(listener)
  server.on('request', listener)
  return server
}

/** A server's own: what it runs, whose its connections are, and who answers where there is no `onRequest`. */
export interface Web {
  readonly runnable: Runnable
  readonly owner: Owner
  readonly otherwise: (web: Web, request: IncomingMessage, response: ServerResponse) => unknown
}

/** To tell ours from those of user code, which may add its own, or take ours away (socket.io does). */
const ownListeners = new WeakSet<object>()

/** True when somebody answers: a hook, or a listener that user code put on the server itself. */
export function hasHandler(runnable: Runnable): boolean {
  const { onRequest, onMessage, server } = runnable.subject
  if (onRequest || onMessage) return true
  return server !== null && (server.listenerCount('upgrade') > 0 || hasForeignListener(server))
}

/** Somebody else answers requests, too. */
export function hasForeignListener(server: HttpServer | HttpsServer): boolean {
  return server.listeners('request').some((listener) => !ownListeners.has(listener))
}

function dispatch(web: Web, request: IncomingMessage, response: ServerResponse): void {
  if (comesTooLate(response)) return
  const { onRequest } = web.runnable.subject
  try {
    const result = onRequest ? onRequest(request, response) : web.otherwise(web, request, response)
    if (result instanceof Promise) result.catch((error: unknown) => fail(web, response, error))
  } catch (error) {
    fail(web, response, error)
  }
}

async function answerMessage(
  { runnable, owner }: Web,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { onMessage, server } = runnable.subject
  if (!onMessage) {
    // a server for upgrades only; with a listener of user code beside ours, that one answers
    if (server && !hasForeignListener(server)) refuse(response, 404)
    return
  }
  const body = await readBody(request, runnable.limits.maxMessageBytes).catch((error: unknown) => {
    // a client that went away in the middle of its body waits for no answer
    if (request.destroyed && !request.complete) return null
    throw error
  })
  await turnOf(response)
  if (response.destroyed) return
  if (body) await onMessage(connectionOf(owner, request.socket), new HttpRequest(request, body))
  else refuse(response, 413)
}

/** `connection.send` answers the eldest request, so a pipelined one is a message only when it is that. */
async function turnOf(response: ServerResponse): Promise<void> {
  const { open } = exchangeOf(response.req.socket)
  const before = open[open.indexOf(response) - 1]
  if (before) await new Promise((resolve) => before.once('close', resolve))
}

function announce({ runnable, owner }: Web, socket: Socket): void {
  const { onConnect, onClose } = runnable.subject
  if ((!onConnect && !onClose) || isUnseen(socket)) return
  const connection = connectionOf(owner, socket)
  socket.once('close', () => callHook(runnable, () => runnable.subject.onClose?.(connection)))
  callHook(runnable, () => onConnect?.(connection))
}

/** A hook may be async: what it rejects with is logged like what it throws, and ends nobody. */
function callHook(runnable: Runnable, hook: () => unknown, what = 'a connection hook'): void {
  const failed = (error: unknown): void => report(runnable, what, error)
  try {
    const result = hook()
    if (result instanceof Promise) result.catch(failed)
  } catch (error) {
    failed(error)
  }
}

/** A handler that failed costs its own client an answer of 500, or the connection, and nobody else anything. */
function fail({ runnable, owner }: Web, response: ServerResponse, error: unknown): void {
  const { method = '?', url = '?', socket } = response.req
  report(runnable, `the handler of ${method} ${url}`, error)
  callHook(runnable, () => runnable.subject.onError?.(connectionOf(owner, socket), error), 'onError')
  if (response.headersSent) response.destroy()
  else refuse(response, 500)
}

function report(runnable: Runnable, what: string, error: unknown): void {
  console.error(`shiftwork: worker ${runnable.subject.id}: ${what} threw: ${describeError(error).stack}`)
}
