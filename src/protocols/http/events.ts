/**
 * Server-sent events (HTML Living Standard, 9.2): how one is written, and the stream of them that an HTTP
 * connection opens as an answer. A browser's `EventSource` that is disconnected comes back by itself and
 * says what it has seen last, so a draining worker just ends its streams.
 */

/** One event. Without `data` a browser notes `id` and `retry` and calls nobody. */
export interface ServerSentEvent {
  /** Text, also of several lines; any other value as JSON. */
  data?: unknown
  /** Its name; without one a browser calls it `message`. */
  event?: string
  /** What the client sends as Last-Event-ID when it comes back. */
  id?: string | number
  /** How long the client waits before it comes back, in ms. */
  retry?: number
}

export interface EventsOptions {
  /** How often a comment is sent, so that proxies keep a silent stream open. Default 15 000 ms; 0: never. */
  heartbeatMs?: number
  /** How long clients wait before they come back. Default: what the browser likes, 2 to 5 s. */
  retryMs?: number
}

const HEARTBEAT_MS = 15_000
const LINE_END = /\r\n|\r|\n/

/** An event as it is sent. @throws TypeError when its name or id holds a line end, which would be another field. */
export function encodeEvent({ data, event, id, retry }: ServerSentEvent): string {
  let text = ''
  if (event !== undefined) text += `event: ${oneLine('event', event)}\n`
  if (id !== undefined) text += `id: ${oneLine('id', String(id))}\n`
  if (retry !== undefined) text += `retry: ${Math.max(0, Math.round(retry))}\n`
  if (data !== undefined) {
    const lines = (typeof data === 'string' ? data : (JSON.stringify(data) ?? 'null')).split(LINE_END)
    for (const line of lines) text += `data: ${line}\n`
  }
  return `${text}\n`
}

function oneLine(what: string, value: string): string {
  // an id with a NUL is ignored by the client
  if (!/[\r\n\0]/.test(value)) return value
  throw new TypeError(`The ${what} of a server-sent event is ${JSON.stringify(value)}: it must be one line`)
}

/** What the connection does for a stream of events. */
export interface EventsOutlet {
  /** @returns what `connection.send` returns. */
  write(text: string): boolean | null
  end(): void
  /** Something that was sent is still waiting. */
  readonly isWaiting: boolean
}

/** An answer that goes on. Made by `connection.events()`. */
export class EventStream {
  /** What the client saw last, before it was disconnected; empty when it is here for the first time. */
  readonly lastEventId: string
  /** Aborted when it is over, whoever has ended it. */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #outlet: EventsOutlet | null
  readonly #heart: NodeJS.Timeout | null = null
  #isEnded = false

  /** @param outlet null: there is nobody to send to, and it is over. */
  constructor(outlet: EventsOutlet | null, lastEventId: string, { heartbeatMs, retryMs }: EventsOptions = {}) {
    this.#outlet = outlet
    this.lastEventId = lastEventId
    this.signal = this.#controller.signal
    if (!outlet) this.#controller.abort()
    if (retryMs !== undefined) outlet?.write(encodeEvent({ retry: retryMs }))
    const everyMs = outlet ? (heartbeatMs ?? HEARTBEAT_MS) : 0
    if (everyMs > 0) this.#heart = setInterval(() => this.#beat(), everyMs).unref()
  }

  get isOpen(): boolean {
    return !this.#isEnded && !this.signal.aborted
  }

  /**
   * @returns true: handed to the kernel; null: buffered; false: dropped, since the stream is over or more
   * than `maxSendBufferBytes` wait already, and `onError` is told. A client that must miss nothing is sent
   * away then: after `close()` it comes back and says what it has seen last.
   * @throws TypeError when its name or id is not one line.
   */
  send(event: ServerSentEvent | string): boolean | null {
    const text = encodeEvent(typeof event === 'string' ? { data: event } : event)
    return this.isOpen ? (this.#outlet?.write(text) ?? null) : false
  }

  /** Delivers what was sent, and ends it. The client comes back, unless it is told not to: answer 204 then. */
  close(): void {
    if (!this.isOpen) return
    this.#isEnded = true
    this.#outlet?.end()
  }

  /** For the connection: it is over. */
  abort(): void {
    if (this.#heart) clearInterval(this.#heart)
    this.#controller.abort()
  }

  #beat(): void {
    if (this.isOpen && !this.#outlet?.isWaiting) this.#outlet?.write(':\n\n')
  }
}
