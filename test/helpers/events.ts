/**
 * A reader of server-sent events as browsers have one: it comes back when it is disconnected, and says what it
 * has seen last. What a browser would hide is kept: every event in order, and how each connection ended.
 */
import { type ClientRequest, type IncomingMessage, get as request } from 'node:http'
import { Signal } from './signal.ts'

export interface ReadEvent {
  id: string
  event: string
  data: string
}

export interface EventReaderOptions {
  port: number
  path?: string
  /** Null: it does not come back. Default 10. */
  retryMs?: number | null
}

export class EventReader {
  readonly events: ReadEvent[] = []
  /** Comments, as they came. */
  readonly comments: string[] = []
  /** How each connection ended: with the answer's own end, or without. */
  readonly ends: ('whole' | 'broken' | 'refused')[] = []
  readonly statuses: number[] = []
  readonly headers: IncomingMessage['headers'][] = []
  retryMs: number | null
  lastEventId = ''
  #buffer = ''
  #request: ClientRequest | null = null
  #answer: IncomingMessage | null = null
  #isClosed = false
  readonly #options: EventReaderOptions
  readonly #news = new Signal()

  constructor(options: EventReaderOptions) {
    this.#options = options
    this.retryMs = options.retryMs === undefined ? 10 : options.retryMs
    this.#connect()
  }

  #connect(): void {
    if (this.#isClosed) return
    const { port, path = '/' } = this.#options
    const headers = { Accept: 'text/event-stream', ...(this.lastEventId && { 'Last-Event-ID': this.lastEventId }) }
    this.#buffer = ''
    // no agent: a connection of its own each time, as it comes
    this.#request = request({ port, host: '127.0.0.1', path, headers, agent: false }, (answer) => this.#read(answer))
    this.#request.on('error', () => {
      if (!this.#answer) this.#end('refused')
    })
  }

  #read(answer: IncomingMessage): void {
    this.#answer = answer
    this.statuses.push(answer.statusCode ?? 0)
    this.headers.push(answer.headers)
    answer.setEncoding('utf8').on('data', (text: string) => this.#parse(text))
    answer.on('error', () => undefined)
    answer.on('close', () => {
      this.#answer = null
      this.#end(answer.complete ? 'whole' : 'broken')
    })
    this.#news.tell()
  }

  #parse(text: string): void {
    this.#buffer += text
    const blocks = this.#buffer.split('\n\n')
    this.#buffer = blocks.pop() ?? ''
    for (const block of blocks) this.#note(block.split('\n'))
    this.#news.tell()
  }

  #note(lines: string[]): void {
    const valuesOf = (name: string): string[] =>
      lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2))
    this.comments.push(...lines.filter((line) => line.startsWith(':')))
    const [id] = valuesOf('id')
    const [retry] = valuesOf('retry')
    if (id !== undefined) this.lastEventId = id
    if (retry !== undefined && this.retryMs !== null) this.retryMs = Number(retry)
    const data = valuesOf('data')
    if (data.length > 0)
      this.events.push({ id: this.lastEventId, event: valuesOf('event')[0] ?? 'message', data: data.join('\n') })
  }

  #end(how: 'whole' | 'broken' | 'refused'): void {
    if (this.#isClosed) return
    this.ends.push(how)
    this.#news.tell()
    if (this.retryMs !== null) setTimeout(() => this.#connect(), this.retryMs)
  }

  /** Reads nothing more until `resume`. */
  pause(): void {
    this.#answer?.pause()
    this.#answer?.socket.pause()
  }

  resume(): void {
    this.#answer?.socket.resume()
    this.#answer?.resume()
  }

  /** Waits until this is true of it. */
  until(what: string, isTrue: (reader: this) => boolean, timeoutMs = 60_000): Promise<void> {
    const instead = (): string => `${this.events.length} events, ends: ${this.ends.join()}`
    return this.#news.until(() => isTrue(this), { what, instead, timeoutMs })
  }

  close(): void {
    this.#isClosed = true
    this.#request?.destroy()
  }
}
