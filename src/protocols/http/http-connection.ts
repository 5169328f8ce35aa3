/**
 * A connection that speaks HTTP, as hooks see it: a message is a request, and `send` answers it. Requests
 * are handled one at a time and in order, also when a client sends them before it has an answer.
 * `node:http` reads and writes; what is on its way stands in the `Exchange`.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { ShiftworkError } from '../../errors.ts'
import { Connection, connectionOn, type Owner } from '../connection.ts'
import type { ConnectionState } from '../connection-state.ts'
import { endGently } from '../linger.ts'
import { answerFailed, comesTooLate, endWith, exchangeOf, refuse } from './answer.ts'
import { breakOff } from './broken.ts'
import { EventStream, type EventsOptions } from './events.ts'
import { HttpRequest, readBody } from './http-request.ts'
import { discard, pumpBody, pumpResponse, toReadable } from './pump.ts'
import { RequestError } from './request-error.ts'
import { type FileOptions, pumpFile } from './send-file.ts'
import { encodeBody, isStream, type Sendable } from './sendable.ts'

export class HttpConnection extends Connection<Sendable> {
  declare protected readonly socket: Socket
  /** `onConnect`, or the handler of a request, until it has settled. */
  #busy: Promise<unknown> | null = null
  #isOpening = false
  #isParting = false
  #isClosing = false
  /** Settles at `resume`. */
  #paused: { promise: Promise<void>; resolve: () => void } | null = null
  /** The request that is handled, and its answer once somebody has begun it. */
  #current: { readonly response: ServerResponse; isTaken: boolean } | null = null
  #events: EventStream | null = null

  /** Makes it known, and calls `onConnect`: requests wait until that is done. */
  open(): void {
    this.owner.connections.add(this as Connection)
    this.socket.once('close', () => this.tellClosed())
    this.#isOpening = true
    const settling = this.call('onConnect')
    this.#isOpening = settling !== null
    if (!settling) return
    this.#busy = settling.then(() => {
      this.#isOpening = false
      this.#busy = null
    })
  }

  override get isKnownByRequests(): boolean {
    return true
  }

  get state(): ConnectionState {
    if (this.socket.destroyed) return 'closed'
    if (this.#isClosing) return 'closing'
    if (this.#isOpening) return 'opening'
    if (this.#isParting) return 'parting'
    return exchangeOf(this.socket).last && !this.#events?.isOpen ? 'closing' : 'open'
  }

  /** No request is open or handled, and every answer is delivered. */
  get isAtRest(): boolean {
    return exchangeOf(this.socket).open.length === 0 && !this.#busy && this.bufferedBytes === 0
  }

  /** `node:http` has times of its own; a client that waits for an answer or listens to events has nothing to say. */
  override get lookEveryMs(): number | null {
    return null
  }

  override bearSilence(): void {
    // and nothing that stands in for it
  }

  /** What is sent is the answer to a request. */
  override get takesPush(): boolean {
    return false
  }

  // ---- answers -----------------------------------------------------------------------------------------------------

  /**
   * Answers the request that is handled, once.
   * @returns true: handed to the kernel; null: buffered, or a stream that has begun; false: dropped, since
   * there is nothing to answer, and `onError` is told why. A whole answer is never dropped because others wait.
   */
  send(value: Sendable): boolean | null {
    if (value instanceof Response) return this.#stream(pumpResponse, value)
    if (isStream(value)) return this.#stream(pumpBody, toReadable(value))
    const { body, type } = encodeBody(value)
    const response = this.#take()
    if (!response) return false
    response.setHeader('Content-Type', type)
    response.setHeader('Content-Length', Buffer.byteLength(body))
    response.end(body)
    return this.bufferedBytes === 0 ? true : null
  }

  /**
   * Answers with a file: its type, its length, a range of it, or 304 when the client has it already; 404, 403
   * and 416 by itself.
   * @returns true once it is with the kernel, or whatever else was answered; false when the client has left,
   * or there is nothing to answer.
   */
  async sendFile(path: string, options: FileOptions = {}): Promise<boolean> {
    const response = this.#take()
    if (!response) return false
    const closed = new Promise((resolve) => response.once('close', resolve))
    await this.#pump(pumpFile(response, path, options))
    await closed
    return response.writableFinished
  }

  /** Answers with a stream of server-sent events. There is nobody behind it when the client has left already. */
  events(options: EventsOptions = {}): EventStream {
    const response = this.#take()
    const seen = response?.req.headers['last-event-id']
    const lastEventId = typeof seen === 'string' ? seen : ''
    if (!response) return new EventStream(null, lastEventId)
    // it may last for days: what comes back must find a process of new code, on a connection of its own
    endWith(response)
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    })
    response.flushHeaders()
    if (response.req.method === 'HEAD') {
      response.end()
      return new EventStream(null, lastEventId)
    }
    const events = new EventStream(this.#outletOf(response), lastEventId, options)
    this.#events = events
    response.once('close', () => {
      this.#events = null
      events.abort()
    })
    if (this.#isParting) events.close()
    return events
  }

  #outletOf(response: ServerResponse): ConstructorParameters<typeof EventStream>[0] {
    const connection = this
    return {
      write: (text) => {
        if (!this.maySend(this.socket.writable)) return false
        response.write(text, 'utf8', () => this.noteFlushed())
        // node:http waits for more to send along with it
        this.socket.uncork()
        return this.noteSent()
      },
      end: () => response.end(),
      get isWaiting() {
        return connection.bufferedBytes > 0
      },
    }
  }

  /** The answer that is still to be given; from now on it is. */
  #take(): ServerResponse | null {
    const current = this.#current
    if (current && !current.isTaken && !current.response.headersSent && !this.socket.destroyed && !this.#isClosing) {
      current.isTaken = true
      return current.response
    }
    this.tellError(
      current && !this.socket.destroyed && !this.#isClosing
        ? new ShiftworkError('ERR_ANSWERED', 'The request is answered already: an answer is dropped')
        : new ShiftworkError('ERR_CONNECTION_CLOSED', 'Nobody waits for an answer: it is dropped'),
    )
    return null
  }

  #stream<Body extends Response | Readable>(
    begin: (response: ServerResponse, body: Body) => Promise<void>,
    body: Body,
  ): false | null {
    const response = this.#take()
    if (response) void this.#pump(begin(response, body))
    else discard(body)
    return response ? null : false
  }

  async #pump(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.fail('an answer', error)
    }
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  /** Handles a request when its turn has come: called by `http` as it is parsed. */
  async answer(response: ServerResponse): Promise<void> {
    await turnOf(response)
    while (this.#busy || this.#paused) await (this.#busy ?? this.#paused?.promise)
    if (this.socket.destroyed || this.#isClosing || comesTooLate(response)) return
    this.heardAt = performance.now()
    this.#current = { response, isTaken: false }
    const { req: request } = response
    const body = await readBody(request, this.owner.limits.maxMessageBytes).catch((error: unknown) => {
      // a client that went away in the middle of its body waits for no answer
      if (request.destroyed && !request.complete) return null
      throw error
    })
    if (this.socket.destroyed || response.destroyed) return
    if (!body) return refuse(response, 413)
    const settling = this.call('onMessage', new HttpRequest(request, body))
    if (!settling) return
    this.#busy = settling.then(() => {
      this.#busy = null
    })
  }

  protected override fail(what: string, error: unknown): void {
    if (!(error instanceof RequestError)) {
      const { method, url } = this.#current?.response.req ?? {}
      super.fail(method ? `${what} for ${method} ${url ?? ''}` : what, error)
      return
    }
    // the client's fault: it is told, and the log is not
    this.tellError(error)
    this.giveUp(error)
  }

  /** For `http`: something went wrong with a request of this connection. */
  noteError(error: unknown): void {
    this.tellError(error)
  }

  /** 500, or the status that the error has; an answer that has begun is broken off, one that is whole is delivered. */
  protected giveUp(error: unknown): void {
    const response = this.#current?.response
    if (!response || response.destroyed || response.writableEnded) return
    if (response.headersSent) {
      breakOff(response)
      return
    }
    answerFailed(response, error instanceof RequestError ? error.status : 500)
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /** Answers, if something is given, with the last answer of this connection; a request without one gets none. */
  close(value?: Sendable): void {
    if (this.#isClosing || this.socket.destroyed) return
    const current = this.#current
    if (value !== undefined && current && !current.isTaken && !current.response.headersSent) {
      endWith(current.response)
      this.send(value)
      this.#isClosing = true
      return
    }
    this.#isClosing = true
    this.#events?.close()
    const begun = current?.isTaken && !current.response.destroyed ? current.response : null
    const exchange = exchangeOf(this.socket)
    if (!begun) endGently(this.socket)
    else if (!begun.headersSent && !exchange.last) endWith(begun)
    else {
      exchange.last ??= begun
      begun.once('close', () => endGently(this.socket))
    }
  }

  /** Over HTTP the same: an answer has its own end. */
  end(): void {
    this.close()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The body of a request that is being read already is still read. */
  pause(): void {
    if (this.#paused) return
    let resolve: () => void = () => undefined
    const promise = new Promise<void>((settle) => {
      resolve = settle
    })
    this.#paused = { promise, resolve }
    this.socket.pause()
  }

  resume(): void {
    this.#paused?.resolve()
    this.#paused = null
    this.socket.resume()
  }

  /** Ends its events; of everything else the last answer says `Connection: close`, which `traffic` sees to. */
  part(): void {
    this.#isParting = true
    this.#events?.close()
  }

  /** HTTP has no such thing. */
  ping(): void {
    // nor is one needed
  }
}

/** A pipelined request is handled when the one before it is answered. */
async function turnOf(response: ServerResponse): Promise<void> {
  const { open } = exchangeOf(response.req.socket)
  const before = open[open.indexOf(response) - 1]
  if (before) await new Promise((resolve) => before.once('close', resolve))
}

/** The one Connection of a socket, made when somebody wants it. @param isSeen false: no hook but `onMessage` hears of it. */
export function connectionOf(owner: Owner, socket: Socket, isSeen: boolean): HttpConnection {
  const known = connectionOn(socket)
  if (known instanceof HttpConnection) return known
  const connection = new HttpConnection(owner, socket)
  // of one that is closed already nobody would hear that it has gone
  if (isSeen && !socket.destroyed) connection.open()
  return connection
}
