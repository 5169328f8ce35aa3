/**
 * The last answer on a connection: it says `Connection: close`, is delivered whole, and only then
 * the connection ends. Called by `traffic` for requests that a draining worker still has to answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { lookEvery } from '../../patience.ts'

/** The requests of one connection that were parsed and are not answered yet, in order. */
export interface Exchange {
  readonly open: ServerResponse[]
  /** A request has begun on it, ever. */
  isAsked: boolean
  /** The answer that ends the connection: what came behind its request is not processed (RFC 9112, 9.6). */
  last: ServerResponse | null
}

const EXCHANGE = Symbol('shiftwork.exchange')

export function exchangeOf(socket: Socket): Exchange {
  const holder = socket as Socket & { [EXCHANGE]?: Exchange }
  holder[EXCHANGE] ??= { open: [], isAsked: false, last: null }
  return holder[EXCHANGE]
}

/**
 * Goes on when every request that came before on this connection is answered (RFC 9112, 9.3.2); not at all
 * when one of the answers ends it. For a socket that `node:http` has handed out, and does nothing for any more.
 */
export function afterAnswers(socket: Socket, goOn: () => void): void {
  const exchange = (socket as Socket & { [EXCHANGE]?: Exchange })[EXCHANGE]
  const unanswered = exchange?.open.at(-1)
  if (!exchange || !unanswered) {
    if (!exchange?.last) goOn()
    return
  }
  // an answer that is waiting for room would wait for ever
  const drain = (): void => void exchange.open[0]?.emit('drain')
  socket.on('drain', drain)
  unanswered.once('close', () => {
    socket.off('drain', drain)
    if (!exchange.last) goOn()
  })
}

/** True for a request that stands behind the one whose answer closes its connection: it must not be handled. */
export function comesTooLate(response: ServerResponse): boolean {
  const { open, last } = exchangeOf(response.req.socket)
  return last !== null && last !== response && open.indexOf(last) < open.indexOf(response)
}

/** Lets this answer, whose head is not written, close its connection, whatever was parsed behind its request. */
export function endWith(response: ServerResponse): void {
  makeLast(response)
  response.setHeader('Connection', 'close')
}

function makeLast(response: ServerResponse): void {
  exchangeOf(response.req.socket).last = response
  lingerAfterEnd(response, LINGER_MS)
}

/**
 * Lets this answer close its connection, unless a later request on it is open when its head is
 * written: decided as late as that, since pipelined requests may still be parsed until then.
 */
export function closeAfter(response: ServerResponse, exchange: Exchange): void {
  if (response.headersSent || exchange.last) return
  const inherited = Object.hasOwn(response, 'writeHead') ? response.writeHead : null
  const writeHead = (...args: unknown[]): ServerResponse => {
    if (inherited) response.writeHead = inherited
    else Reflect.deleteProperty(response, 'writeHead')
    const isLast = exchange.open.at(-1) === response
    const given = isLast ? args.map(withoutConnection) : args
    if (isLast && !exchange.last) {
      makeLast(response)
      closeIn(given, response)
    }
    return response.writeHead(...(given as Parameters<ServerResponse['writeHead']>))
  }
  response.writeHead = writeHead as ServerResponse['writeHead']
}

/**
 * Says `Connection: close` in these arguments of `writeHead`, or as a header of its own. Beside one that is set,
 * Node.js 20 keeps the last only of headers that a list names twice, such as cookies: so a list gets it at its end.
 */
function closeIn(args: unknown[], response: ServerResponse): void {
  const list = args.find(Array.isArray)
  if (!list || response.getHeaderNames().length > 0) response.setHeader('Connection', 'close')
  else if (!list.some((name, index) => index % 2 === 0 && /^connection$/i.test(String(name))))
    list.push('Connection', 'close')
}

/** Headers given to `writeHead` itself would win over ours: a proxy hands on its upstream's keep-alive. */
function withoutConnection(arg: unknown): unknown {
  if (Array.isArray(arg)) return withoutConnectionPairs(arg)
  if (typeof arg !== 'object' || arg === null) return arg
  return Object.fromEntries(Object.entries(arg).filter(([name, value]) => !keepsOpen(name, value)))
}

/**
 * Either `[name, value, …]` or `[[name, value], …]`. Returns the first form: beside a header that
 * was set before, Node.js takes no other.
 */
function withoutConnectionPairs(headers: unknown[]): unknown[] {
  if (Array.isArray(headers[0])) return headers.filter((pair) => !keepsOpen(...(pair as [unknown, unknown]))).flat()
  const kept: unknown[] = []
  for (let index = 0; index < headers.length; index += 2)
    if (!keepsOpen(headers[index], headers[index + 1])) kept.push(headers[index], headers[index + 1])
  return kept
}

/** Our own refusals say `close`, and stay. */
function keepsOpen(name: unknown, value: unknown): boolean {
  return typeof name === 'string' && /^(connection|keep-alive)$/i.test(name) && !/\bclose\b/i.test(String(value))
}

/**
 * Answers with a bare status, and this is the last answer on its connection: the request may not be
 * read to its end, so what still comes is thrown away.
 */
export function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  if (response.headersSent || response.destroyed) return
  const { req: request } = response
  exchangeOf(request.socket).last = response
  response.writeHead(status, { 'Content-Length': 0, Connection: 'close', ...headers })
  lingerAfterEnd(response, UPLOAD_LINGER_MS)
  request.resume()
  response.end()
}

/**
 * Answers with a bare status in the place of a handler that failed, without what it has set: this is not to be cached
 * or unpacked as its answer. What stands behind a request that has come whole is still answered.
 */
export function answerFailed(response: ServerResponse, status: number): void {
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  response.statusMessage = ''
  if (!isWhole(response.req) || exchangeOf(response.req.socket).last) {
    refuse(response, status)
    return
  }
  response.writeHead(status, { 'Content-Length': 0 })
  response.end()
}

/** `node:http` calls the handler before it knows that there is no body. */
function isWhole({ complete, headers }: IncomingMessage): boolean {
  return complete || (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined)
}

/** How long a client may take to notice the end before its connection is closed under it. */
const LINGER_MS = 1_000
/** One that is still sending gets longer, for as long as something comes. */
const UPLOAD_LINGER_MS = 30_000

/**
 * Node.js destroys the socket after the last answer. If the client has sent more by then, the kernel
 * answers with a reset, and the answer may be lost with it: so end our side, read on, and wait for
 * the client's end (RFC 9112, 9.6). One whose request has not come whole is sending it.
 */
function lingerAfterEnd({ req: request }: ServerResponse, leastMs: number): void {
  const { socket } = request
  socket.destroySoon = () => {
    socket.end()
    if (socket.destroyed) return
    const endsAt = performance.now() + (request.complete ? leastMs : UPLOAD_LINGER_MS)
    // what its handler has stopped reading would hold the client up, until it cannot read the answer either
    if (!request.complete && request.listenerCount('data') === 0) request.resume()
    let { bytesRead } = socket
    const look = (): void => {
      // whose body is not read at the moment cannot be heard
      const isQuiet = socket.bytesRead === bytesRead && (request.complete || !socket.isPaused())
      if (isQuiet || performance.now() >= endsAt) socket.destroy()
      bytesRead = socket.bytesRead
    }
    // to a process that was blocked all its clients seem to be quiet
    const timer = lookEvery(LINGER_MS, look)
    socket.once('close', () => clearInterval(timer))
  }
}
