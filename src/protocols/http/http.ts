/**
 * The `http://` and `https://` server of a worker: creates the `node:http` server and leads its
 * requests to `onRequest`, or by their connection to `onMessage`. It neither listens nor drains.
 */
import { captureRejectionSymbol, EventEmitter } from 'node:events'
import { createServer as createHttp, type Server as HttpServer, type IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttps, type Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { isSecure, type Protocol as Scheme } from '../../address.ts'
import { describeError } from '../../errors.ts'
import { settlingOf } from '../../settling.ts'
import type { Owner } from '../connection.ts'
import type { Runnable } from '../hooks.ts'
import { report } from '../report.ts'
import { type Catch, tapEvents } from '../tap.ts'
import { isUnseen } from '../unseen.ts'
import { answerFailed, comesTooLate, refuse } from './answer.ts'
import { breakOff } from './broken.ts'
import { connectionOf } from './http-connection.ts'
import { answerMalformed } from './malformed.ts'
import { closeIfSilent } from './overdue.ts'
import { boundBacklog } from './pipelined.ts'
import { isHandedOut, isRefused } from './strict.ts'

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
  // Node.js would handle what stands behind a request without a Host; we do not
  const options = { ...runnable.serverOptions, requireHostHeader: false }
  const server = withRejections(() =>
    isSecure(scheme) ? createHttps({ ...options, ...runnable.tls }) : createHttp(options),
  )
  watchListeners(web, server, runnable.serverOptions.requireHostHeader !== false)
  server.on('clientError', (error, socket) => {
    // a listener of user code answers by itself
    if (server.listenerCount('clientError') === 1) answerMalformed(error, socket as Socket)
  })
  const given = runnable.serverOptions as Record<string, unknown>
  for (const property of PROPERTIES)
    if (typeof given[property] === 'number') Object.assign(server, { [property]: given[property] })
  const listener = (request: IncomingMessage, response: ServerResponse): void => dispatch(web, request, response)
  ownListeners.add(listener)
  server.on('request', listener)
  return server
}

/** Makes a server that hears of its async listeners' rejections: Node.js asks for the wish as it makes it. */
function withRejections<Server>(make: () => Server): Server {
  const before = EventEmitter.captureRejections
  EventEmitter.captureRejections = true
  try {
    return make()
  } finally {
    EventEmitter.captureRejections = before
  }
}

/** What user code put on the server is called where nobody could catch what it throws: that would end the worker. */
function watchListeners(web: Web, server: HttpServer | HttpsServer, isHostRequired: boolean): void {
  const failed = (how: Failure['how']): Catch => {
    return (error, event, first, second) => {
      if (event !== 'request' && !isHandedOut(event)) return false
      const [request, answer] = [first as IncomingMessage, second as ServerResponse | Duplex]
      failListener({ web, error, event, request, answer, how })
      return true
    }
  }
  tapEvents(
    server,
    (event, first, second) =>
      event === 'timeout' ? closeIfSilent(server, first as Socket) : isRefused(event, first, second, isHostRequired),
    failed('threw'),
  )
  const rejects = failed('rejected')
  const rejected = (error: unknown, event: string, ...[first, second]: unknown[]): void => {
    if (!rejects(error, event, first, second)) void Promise.reject(error)
  }
  Object.assign(server, { [captureRejectionSymbol]: rejected })
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
  boundBacklog(response)
  if (comesTooLate(response)) return
  const { onRequest } = web.runnable.subject
  try {
    const result = onRequest ? onRequest(request, response) : web.otherwise(web, request, response)
    settlingOf(result)?.catch((error: unknown) => fail(web, response, error))
  } catch (error) {
    fail(web, response, error)
  }
}

function answerMessage({ runnable, owner }: Web, { socket }: IncomingMessage, response: ServerResponse): unknown {
  const { onMessage, server } = runnable.subject
  if (onMessage) return connectionOf(owner, socket, !isUnseen(socket)).answer(response)
  // a server for upgrades only; with a listener of user code beside ours, that one answers
  if (server && !hasForeignListener(server)) refuse(response, 404)
  return undefined
}

function announce({ runnable, owner }: Web, socket: Socket): void {
  const { onConnect, onClose } = runnable.subject
  if ((onConnect || onClose) && !isUnseen(socket)) connectionOf(owner, socket, true)
}

/** As `fail`, where nobody else may be at work on an answer, and find it given. */
function failListener({ web, error, event, request, answer, how }: Failure): void {
  const isRequest = answer instanceof ServerResponse
  if (isRequest && answerers(web, event) === 1) {
    fail(web, answer, error)
    return
  }
  complain(web, request, `a listener of '${event}'`, error)
  if (!isRequest) answer.destroy()
  // a throw keeps the request from those behind it; one that rejects may only have looked on
  else if (how === 'threw' && !answer.writableEnded) breakOff(answer)
}

/** How many may answer: a hook, and listeners of user code. Ours that has no hook to call answers nobody. */
function answerers({ runnable }: Web, event: string): number {
  const { onRequest, onMessage, server } = runnable.subject
  const foreign = server?.listeners(event).filter((listener) => !ownListeners.has(listener)).length ?? 0
  return event === 'request' && (onRequest || onMessage) ? foreign + 1 : foreign
}

interface Failure {
  web: Web
  error: unknown
  event: string
  request: IncomingMessage
  /** Or what a request is handed out with. */
  answer: ServerResponse | Duplex
  how: 'threw' | 'rejected'
}

/** A handler that failed costs its own client an answer of 500, or the connection, and nobody else anything. */
function fail(web: Web, response: ServerResponse, error: unknown): void {
  const { socket } = response.req
  complain(web, response.req, 'the handler', error)
  connectionOf(web.owner, socket, !isUnseen(socket)).noteError(error)
  // an answer that is whole is delivered, whatever its handler does then
  if (response.writableEnded) return
  if (response.headersSent) breakOff(response)
  else if (!response.destroyed) answerFailed(response, 500)
}

function complain({ runnable }: Web, { method = '?', url = '?' }: IncomingMessage, who: string, error: unknown): void {
  report(runnable.subject, `${who} of ${method} ${url} threw: ${describeError(error).stack}`)
}
