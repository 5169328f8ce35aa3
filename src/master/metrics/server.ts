/**
 * Metrics and probes: an HTTP server of the master's own for `/metrics`, `/live` and `/ready`. Loaded
 * by the master's main, and only when the start file asks for it. It runs no user code and must never
 * harm the master: everything about it is bounded, and whoever is slow or silent is cut off.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type Address, addressKey, formatAddress, hasAnyPort, overlaps } from '../../address.ts'
import { ShiftworkError, systemCode } from '../../errors.ts'
import { listenFailure } from '../../ipc/listenplace.ts'
import { debug } from '../../log.ts'
import { cpuMsOf, isStopped } from '../../os/processes.ts'
import type { Spec } from '../../spec/spec.ts'
import { packageVersion } from '../../version.ts'
import { placeOf } from '../listeners.ts'
import type { Notice } from '../notices.ts'
import { type MasterFacts, StatusReporter } from '../status.ts'
import type { Supervisor } from '../supervisor.ts'
import { Counters } from './counters.ts'
import { EXPOSITION_TYPE, exposition } from './exposition.ts'
import { families } from './page.ts'
import { readinessOf } from './readiness.ts'

/** One more, and the one that has asked for nothing for longest goes: silent clients keep no probe out. */
const MAX_CONNECTIONS = 128
/** Requests of one connection that wait for their answer. Node.js reads on while they pile up. */
const MAX_PIPELINED = 4
const MAX_HEADER_BYTES = 8 * 1024
/** For a request to arrive, and for a connection that says nothing. */
const REQUEST_TIMEOUT_MS = 5_000
const CHECK_INTERVAL_MS = 1_000
/** From the request to the last byte of its answer, for clients that are slow to read. */
const ANSWER_TIMEOUT_MS = 10_000

interface Answer {
  status: number
  body: string | Buffer
  type?: string
  headers?: Record<string, string>
}

const TEXT_TYPE = 'text/plain; charset=utf-8'
const NOT_YET: Answer = { status: 503, body: 'starting\n' }

export class MetricsServer {
  /** `http://127.0.0.1:9100`, with the port that was chosen for port 0. */
  readonly address: string
  readonly #server: Server
  readonly #counters = new Counters()
  /** How many requests are open on each; the one that has asked for nothing for longest comes first. */
  readonly #sockets = new Map<Socket, number>()
  #supervisor: Supervisor | null = null
  #reporter: StatusReporter | null = null
  /** One collection at a time; whoever asks meanwhile gets it, too. */
  #collecting: Promise<Buffer> | null = null

  private constructor(server: Server, address: string) {
    this.#server = server
    this.address = address
  }

  /**
   * Listens. Before the first listener of a group is bound: two sockets that do not listen yet would share a port.
   * @throws ShiftworkError `ERR_ADDRESS_IN_USE`, `ERR_ADDRESS_DENIED`, `ERR_ADDRESS` or `ERR_OPTION`.
   */
  static async open(address: Address, specs: readonly Spec[]): Promise<MetricsServer> {
    rejectTwin(address, specs)
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    })
    // a connection that never sends a byte meets none of the above
    server.timeout = REQUEST_TIMEOUT_MS
    await listen(server, address)
    server.on('error', (error) => debug('metrics: %s', error.message))
    const bound = server.address()
    const port = typeof bound === 'object' && bound ? bound.port : undefined
    const metrics = new MetricsServer(server, formatAddress(address, port))
    server.on('connection', (socket) => metrics.#admit(socket))
    server.on('request', (request, response) => metrics.#begin(request, response))
    // nobody is encouraged to send a body
    server.on('checkContinue', (request, response) => metrics.#begin(request, response))
    return metrics
  }

  /** From now on there is something to tell. Its rates are its own: `status` and a scrape do not disturb each other. */
  attend(supervisor: Supervisor, facts: MasterFacts): void {
    this.#supervisor = supervisor
    this.#reporter = new StatusReporter(supervisor, facts)
  }

  note(notice: Notice): void {
    this.#counters.note(notice, Date.now())
  }

  /** Cuts every connection; the port is free at once. Safe to call twice. */
  close(): void {
    this.#server.close()
    for (const socket of this.#sockets.keys()) socket.destroy()
  }

  // ---- connections -------------------------------------------------------------------------------------------------

  #admit(socket: Socket): void {
    this.#sockets.set(socket, 0)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#sockets.size <= MAX_CONNECTIONS) return
    const [oldest] = this.#sockets.keys()
    if (!oldest) return
    this.#sockets.delete(oldest)
    oldest.destroy()
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const open = this.#sockets.get(socket)
    // one that was cut still has requests in the bytes that were read
    if (open === undefined) return
    if (open >= MAX_PIPELINED) {
      this.#sockets.delete(socket)
      socket.destroy()
      return
    }
    // last in the order: it has just asked
    this.#sockets.delete(socket)
    this.#sockets.set(socket, open + 1)
    const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS)
    response.once('close', () => {
      clearTimeout(timer)
      const before = this.#sockets.get(socket)
      if (before !== undefined) this.#sockets.set(socket, before - 1)
    })
    response.on('error', (error) => debug('metrics client: %s', error.message))
    void this.#answer(request, response)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      send(request, response, refusal(request) ?? (await this.#route(request)))
    } catch (error) {
      debug('metrics: %s', error)
      if (response.headersSent) request.socket.destroy()
      else send(request, response, { status: 500, body: 'the metrics could not be collected\n' })
    }
  }

  async #route(request: IncomingMessage): Promise<Answer> {
    switch (request.url?.split('?', 1)[0]) {
      case '/live':
        return { status: 200, body: 'ok\n' }
      case '/ready':
        return this.#ready()
      case '/metrics':
        return this.#metrics()
      default:
        return { status: 404, body: 'Here are /metrics, /live and /ready.\n' }
    }
  }

  /** Asks nobody: a load balancer's probe is answered while every worker is blocked. */
  #ready(): Answer {
    if (!this.#supervisor) return NOT_YET
    const { isReady, text } = readinessOf(this.#supervisor.fleet, isStopped)
    return { status: isReady ? 200 : 503, body: `${text}\n` }
  }

  async #metrics(): Promise<Answer> {
    if (!this.#supervisor || !this.#reporter) return NOT_YET
    this.#collecting ??= this.#collect(this.#supervisor, this.#reporter).finally(() => {
      this.#collecting = null
    })
    return { status: 200, body: await this.#collecting, type: EXPOSITION_TYPE }
  }

  async #collect({ fleet }: Supervisor, reporter: StatusReporter): Promise<Buffer> {
    const status = await reporter.report()
    for (const child of fleet.children.values()) {
      const cpuMs = cpuMsOf(child.pid)
      if (cpuMs !== null) this.#counters.noteCpu(child.key, cpuMs)
    }
    const generations = new Map([...fleet.groups].map(([name, group]) => [name, group.generation]))
    const page = { version: packageVersion(), status, generations, counters: this.#counters }
    return Buffer.from(exposition(families(page)))
  }
}

function refusal(request: IncomingMessage): Answer | null {
  const { method, headers } = request
  const close = { Connection: 'close' }
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, body: 'Only GET and HEAD are answered here.\n', headers: { Allow: 'GET, HEAD', ...close } }
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
  return hasBody ? { status: 413, body: 'A request with a body is not read here.\n', headers: close } : null
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, body, type = TEXT_TYPE, headers } = answer
  const length = { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }
  response.writeHead(status, { ...length, 'Cache-Control': 'no-store', ...headers })
  response.end(request.method === 'HEAD' ? undefined : body)
}

// ---- the address ---------------------------------------------------------------------------------------------------

function rejectTwin(address: Address, specs: readonly Spec[]): void {
  if (hasAnyPort(address)) return
  const isTwin = (other: Address): boolean => addressKey(other) === addressKey(address) || overlaps(other, address)
  const twin = specs.find((spec) => spec.address && isTwin(spec.address))
  if (!twin) return
  throw new ShiftworkError(
    'ERR_OPTION',
    `Worker "${twin.name}" and the metrics cannot both listen on ${address.text}`,
    {
      hint: 'Give the metrics an address of their own.',
    },
  )
}

/** In the master an ordinary `listen` is its own: node:cluster shares nothing there. */
async function listen(server: Server, address: Address): Promise<void> {
  const place = await placeOf(address)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenFailure(address, systemCode(error) ?? String(error), error)))
    server.listen({ ...place, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
