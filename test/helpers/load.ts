/**
 * Load from many strict clients at once, each outcome counted apart. Ends by itself, and tells what
 * every request came to and which processes answered.
 */
import { type Answer, Client, type Outcome, type RequestOptions, type Target, Unanswered } from './client.ts'
import { Signal } from './signal.ts'

export interface LoadOptions {
  target: Target
  clients: number
  /** Between two requests of a client, chosen anew each time. */
  pauseMs: [number, number]
  /** A new connection for each request instead of keep-alive. */
  isShort?: boolean
  /** What share of the requests asks for a slow answer. */
  slowShare?: number
  /** Default `/slow`. */
  slowPath?: string
  request?: RequestOptions
  /** Each client ends when it is refused: for a server that goes away. */
  endsRefused?: boolean
  /** Ends by itself after this, whatever the test does. */
  maxMs?: number
}

/** A request without a right answer, and what its client knew by then. */
export interface Loss {
  outcome: Outcome
  /** Which of the clients. */
  client: number
  /** Its own end of the connection; 0: none came about. */
  port: number
  /** Who has answered on this connection before; null: nobody, it was its first request. */
  servedBy: number | null
}

export interface LoadResult {
  counts: Record<Outcome, number>
  failed: number
  errors: string[]
  losses: Loss[]
  /** Requests answered by each pid. */
  byPid: Map<number, number>
  /** Versions of the code that answered, in the order of the answers. */
  lastVersions: string[]
}

/** The answer of the test fixtures: who answered, and with which code. */
export interface Reply {
  pid: number
  version: string
}

export class Load {
  readonly result: LoadResult = {
    counts: { answered: 0, wrong: 0, refused: 0, reset: 0, closed: 0, timeout: 0 },
    failed: 0,
    errors: [],
    losses: [],
    byPid: new Map(),
    lastVersions: [],
  }
  readonly #options: LoadOptions
  readonly #loops: Promise<void>[]
  readonly #endsAt: number
  #isStopping = false
  readonly #news = new Signal()

  constructor(options: LoadOptions) {
    this.#options = options
    this.#endsAt = Date.now() + (options.maxMs ?? 150_000)
    this.#loops = Array.from({ length: options.clients }, (_, index) => this.#loop(index))
  }

  /** Waits until so many more requests were answered. */
  async more(count: number): Promise<void> {
    const until = this.result.counts.answered + count
    const look = (): true | undefined => {
      if (this.result.counts.answered >= until) return true
      if (this.#isOver) throw new Error(`the load is over after ${this.result.counts.answered} answers`)
      return undefined
    }
    const instead = (): string => JSON.stringify(this.result.counts)
    await this.#news.wait(look, { what: `${count} more answers`, instead, timeoutMs: 120_000 })
  }

  /** Lets every client finish its request. */
  async stop(): Promise<LoadResult> {
    this.#isStopping = true
    await Promise.all(this.#loops)
    return this.result
  }

  get #isOver(): boolean {
    return this.#isStopping || Date.now() >= this.#endsAt
  }

  /** Waits until every client has ended by itself. */
  async ended(): Promise<LoadResult> {
    await Promise.all(this.#loops)
    return this.result
  }

  async #loop(index: number): Promise<void> {
    let client: Client | null = null
    let servedBy: number | null = null
    while (!this.#isOver) {
      try {
        if (!client || client.isClosed) {
          client = null
          servedBy = null
          client = await Client.open(this.#options.target)
        }
        const answer = await client.request(this.#nextRequest())
        servedBy = this.#note(answer)
        if (this.#options.isShort || answer.headers.get('connection') === 'close') {
          client.close()
          client = null
        }
      } catch (error) {
        const outcome = this.#fail(error)
        this.result.losses.push({ outcome, client: index, port: client?.port ?? 0, servedBy })
        client?.close()
        client = null
        if (outcome === 'refused' && this.#options.endsRefused) return
      }
      await pause(this.#options.pauseMs)
    }
    client?.close()
  }

  #nextRequest(): RequestOptions {
    const { request = {}, slowShare = 0, slowPath = '/slow', isShort } = this.#options
    const path = Math.random() < slowShare ? slowPath : (request.path ?? '/')
    const headers = isShort ? { ...request.headers, Connection: 'close' } : (request.headers ?? {})
    return { ...request, path, headers }
  }

  /** @returns who answered. @throws Unanswered where the answer is not the fixture's. */
  #note(answer: Answer): number {
    const reply = answer.status === 200 ? parseReply(answer.body) : null
    if (!reply) throw new Unanswered('wrong', `${answer.status} ${answer.body.slice(0, 200)}`)
    this.result.counts.answered++
    this.result.byPid.set(reply.pid, (this.result.byPid.get(reply.pid) ?? 0) + 1)
    this.result.lastVersions.push(reply.version)
    if (this.result.lastVersions.length > 200) this.result.lastVersions.shift()
    this.#news.tell()
    return reply.pid
  }

  #fail(error: unknown): Outcome {
    const outcome = error instanceof Unanswered ? error.outcome : 'wrong'
    this.result.counts[outcome]++
    this.result.failed++
    if (this.result.errors.length < 20) this.result.errors.push(String(error))
    this.#news.tell()
    return outcome
  }
}

/**
 * Waits between two requests of a strict client, which asks then whether its connection has been closed. A process that
 * was stalled runs its timers before it reads what has come: the end of the connection is read first here.
 */
export function pause([from, to]: readonly [number, number]): Promise<void> {
  const ms = from + Math.random() * (to - from)
  const afterReading = (resolve: () => void): void => void setImmediate(resolve)
  return new Promise((resolve) => (ms < 1 ? afterReading(resolve) : setTimeout(afterReading, ms, resolve)))
}

function parseReply(body: string): Reply | null {
  try {
    return JSON.parse(body) as Reply
  } catch {
    // not the fixture's answer: counted as wrong
    return null
  }
}
