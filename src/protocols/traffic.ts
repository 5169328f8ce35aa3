/**
 * What is open in a worker process: every connection of every server in it, every request that has
 * no answer yet, and the drain that ends them without losing one. It watches through Node's own
 * diagnostics channels, so a server that user code opened, or a library that replaces the request
 * listeners, is seen as well as the worker's own. One per process.
 *
 * A drain never closes a connection that may be about to carry a request: an answer says
 * `Connection: close`, an idle connection runs into the server's own keep-alive timeout.
 */
import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { closeAfter, type Exchange, exchangeOf } from './http/answer.ts'
import { closeBroken } from './http/broken.ts'
import { isWeb, Lingering } from './lingering.ts'
import { Roster } from './roster.ts'
import { isUnseen } from './unseen.ts'
import { Upgrades } from './upgrades.ts'

/** So many connections are named in a line of the log. */
export const MAX_NAMED = 10

/** What `cut` closed by force. `requests` names some of those that had no answer yet, or were upgraded. */
export interface CutReport {
  connections: number
  requests: string[]
}

/** An open connection. */
export interface Opened {
  /** The one on which its protocol is spoken. */
  readonly socket: Socket
  /** On the clock of `performance.now()`. */
  readonly since: number
  /** handshake: of TLS, under way · upgraded: user code has taken it over */
  readonly stage: 'handshake' | 'spoken' | 'upgraded'
}

export class Traffic {
  /** Requests begun since the process started. */
  requests = 0
  /** Called at each of them. */
  onRequest: (() => void) | null = null
  /** Called at each connection, inside its accept. */
  onConnection: ((socket: Socket) => void) | null = null
  /** Those that are not closed. */
  readonly #servers = new Set<NetServer>()
  /** One may listen again after its end. */
  readonly #watched = new WeakSet<NetServer>()
  /** What listens on an address that this process does not share. */
  readonly #exclusive = new WeakSet<NetServer>()
  /** Connections as the kernel knows them; under TLS the one below. */
  readonly #sockets = new Roster()
  /** Connections inside TLS: on these HTTP is spoken, and not on the one below. */
  readonly #secured = new Roster()
  readonly #upgrades = new Upgrades()
  readonly #lingering = new Lingering({
    servers: this.#servers,
    socketsOf: (server) => this.#socketsOf(server),
    unsecuredOf: (server) => this.opened(server).filter(({ stage }) => stage === 'handshake'),
  })
  #isDraining = false
  /** The server whose answers end their connections although it does not drain. */
  #ending: NetServer | null = null
  #late = new WeakSet<NetServer>()
  /** Nobody misses their connections when they are cut. */
  readonly #internal = new WeakSet<NetServer>()
  #onEmpty: (() => void) | null = null

  /** Begins to watch this process. */
  watch(): void {
    diagnostics.subscribe('net.server.socket', (message) => {
      const { socket } = message as { socket: Socket & { server?: NetServer } }
      if (socket.server) this.#add(socket, socket.server)
    })
    diagnostics.subscribe('tracing:net.server.listen:asyncStart', (message) => {
      const { server, options } = message as { server: NetServer; options?: { exclusive?: boolean } }
      if (options?.exclusive) this.#exclusive.add(server)
      else this.#exclusive.delete(server)
    })
    // what fails to listen is never known
    diagnostics.subscribe('tracing:net.server.listen:asyncEnd', (message) => {
      this.register((message as { server: NetServer }).server)
    })
    diagnostics.subscribe('http.server.request.start', (message) => {
      const { request, response } = message as { request: IncomingMessage; response: ServerResponse }
      this.#begin(request, response)
    })
  }

  get connections(): number {
    return this.#sockets.size
  }

  /**
   * A server is known once it listens, or from its first connection on, until it is closed; one that must be known
   * before is named.
   */
  register(server: NetServer): void {
    if (isUnseen(server)) return
    if (!this.#servers.has(server)) this.#know(server)
    if (!this.#isDraining || this.#late.has(server) || this.#exclusive.has(server)) return
    // others may take what is shared; who opened it is told first that it listens
    setImmediate(() => stopListening(server))
  }

  #know(server: NetServer): void {
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
    if (!this.#watched.has(server)) this.#watch(server)
  }

  #watch(server: NetServer): void {
    this.#watched.add(server)
    if (isWeb(server)) this.#upgrades.watch(server)
    if (server instanceof TlsServer) server.on('secureConnection', (socket) => this.#addSecured(socket))
  }

  /** This one listens until `stopListeningLast`: the worker's own code needs it to leave. */
  keepListening(server: NetServer): void {
    this.#late.add(server)
  }

  /** Connections of this one are closed as all others, and are not counted when they are cut. */
  discount(server: NetServer): void {
    this.#internal.add(server)
  }

  #add(socket: Socket, server: NetServer): void {
    if (isUnseen(socket)) return
    this.register(server)
    this.#sockets.add(socket)
    socket.on('close', this.#onClose)
    this.onConnection?.(socket)
  }

  #addSecured(socket: Socket): void {
    if (isUnseen(socket)) return
    this.#secured.add(socket)
    socket.on('close', () => this.#secured.delete(socket))
  }

  /** One for all: a closure for each connection would be a hundred bytes. */
  readonly #onClose = ((traffic: Traffic) =>
    function (this: Socket): void {
      traffic.#sockets.delete(this)
      if (traffic.#sockets.size === 0) traffic.#onEmpty?.()
    })(this)

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const exchange = exchangeOf(request.socket)
    exchange.open.push(response)
    exchange.isAsked = true
    response.on('close', forget)
    if (this.#isDraining || (this.#ending !== null && isOf(request.socket, this.#ending)))
      closeAfter(response, exchange)
    if (!isUnseen(request.socket)) this.countRequest()
  }

  /** A request has begun, or a message of another protocol has come. */
  countRequest(): void {
    this.requests++
    this.onRequest?.()
  }

  // ---- room for others ---------------------------------------------------------------------------------------------

  /** Until `keepConnections`, the last answer on each connection of this server says so, and ends it. */
  endConnections(server: NetServer): void {
    this.#ending = server
    for (const socket of this.#all()) if (isOf(socket, server)) endWithAnswer(socket)
  }

  keepConnections(): void {
    this.#ending = null
  }

  /**
   * Closes connections of this server on which no request has ever begun, the eldest first. One whose
   * client has upgraded it, or has asked once, is not touched.
   */
  closeUnasked(server: NetServer, { atMost, afterMs }: { atMost: number; afterMs: number }): void {
    const before = performance.now() - afterMs
    const due = this.#unasked(server).filter(({ since }) => since <= before)
    due.sort((a, b) => a.since - b.since)
    for (const { socket } of due.slice(0, atMost)) socket.destroy()
  }

  #unasked(server: NetServer): { socket: Socket; since: number }[] {
    return this.opened(server).filter(({ socket, stage }) => stage === 'handshake' || isUnasked(socket))
  }

  /** Every open connection once, or those of one server: under TLS the socket below counts until its handshake is done, then the one inside. */
  opened(of: NetServer | null = null): Opened[] {
    const isMeant = (socket: Socket): boolean => of === null || isOf(socket, of)
    const inside = [...this.#secured].filter(isMeant)
    const below = new Set(inside.map(belowOf))
    const opened = [...this.#sockets].filter(isMeant).flatMap((socket): Opened[] => {
      const isBelow = serverOf(socket) instanceof TlsServer
      if (isBelow && (below.has(socket) || below.has(peerOf(socket)))) return []
      return [{ socket, since: this.#sockets.since(socket), stage: isBelow ? 'handshake' : this.#stageOf(socket) }]
    })
    const secured = inside.map((socket) => {
      return { socket, since: this.#secured.since(socket), stage: this.#stageOf(socket) }
    })
    return [...opened, ...secured]
  }

  #stageOf(socket: Socket): Opened['stage'] {
    return this.#upgrades.nameOf(socket) === null ? 'spoken' : 'upgraded'
  }

  // ---- drain -------------------------------------------------------------------------------------------------------

  /** Stops listening, but for what is kept; from now on the last answer on each connection says so. Safe to call twice. */
  stopListening(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    for (const server of this.#servers) if (!this.#late.has(server)) stopListening(server)
    for (const socket of this.#all()) endWithAnswer(socket)
  }

  /** Nothing is kept any more. */
  stopListeningLast(): void {
    for (const server of this.#servers) if (this.#late.has(server)) stopListening(server)
    this.#late = new WeakSet()
  }

  /** Idle connections may stay so long from now on, whatever their server lets them. */
  endIdleWithin(ms: number): void {
    this.#lingering.endWithin(ms)
  }

  /** Waits until the last connection is closed. */
  drained(): Promise<void> {
    this.stopListening()
    if (this.#sockets.size === 0) return Promise.resolve()
    this.#lingering.begin()
    return new Promise((resolve) => {
      this.#onEmpty = () => {
        this.#lingering.end()
        resolve()
      }
    })
  }

  /** Says goodbye to the WebSockets of user code, evenly over so long. */
  partWithUpgraded(spreadMs: number): void {
    this.#upgrades.partWithAll(spreadMs)
  }

  /**
   * Closes everything by force, and says what it was.
   * @param others names of what is open besides requests.
   */
  cut(others: readonly string[] = []): CutReport {
    this.stopListening()
    this.stopListeningLast()
    this.#lingering.end()
    const names = this.#all().flatMap((socket) => {
      const upgraded = this.#upgrades.nameOf(socket)
      return [...exchangeOf(socket).open.map(nameOf), ...(upgraded === null ? [] : [upgraded])]
    })
    const missed = [...this.#sockets].filter((socket) => !this.#isInternal(socket))
    const report: CutReport = { connections: missed.length, requests: [...names, ...others].slice(0, MAX_NAMED) }
    this.partWithUpgraded(0)
    for (const socket of this.#sockets) closeBroken(socket, exchangeOf(socket).open[0])
    return report
  }

  #isInternal(socket: Socket): boolean {
    const server = serverOf(socket)
    return server !== undefined && this.#internal.has(server)
  }

  #socketsOf(server: NetServer): { socket: Socket; since: number }[] {
    return [this.#sockets, this.#secured].flatMap((roster) =>
      [...roster].filter((socket) => isOf(socket, server)).map((socket) => ({ socket, since: roster.since(socket) })),
    )
  }

  #all(): Socket[] {
    return [...this.#sockets, ...this.#secured]
  }
}

function serverOf(socket: Socket): NetServer | undefined {
  return (socket as Socket & { server?: NetServer }).server
}

function isOf(socket: Socket, server: NetServer): boolean {
  return serverOf(socket) === server
}

/** `node:http` takes its parser away from a connection that is upgraded. */
function isUnasked(socket: Socket): boolean {
  return Boolean((socket as Socket & { parser?: unknown }).parser) && !exchangeOf(socket).isAsked
}

/** The socket below one inside TLS; should Node.js not show that any more, whom both have at their other end. */
function belowOf(secured: Socket): Socket | string {
  return (secured as Socket & { _parent?: Socket | null })._parent ?? peerOf(secured)
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

function endWithAnswer(socket: Socket): void {
  const exchange = exchangeOf(socket)
  for (const response of exchange.open) closeAfter(response, exchange)
}

function forget(this: ServerResponse): void {
  const { open } = exchangeOf(this.req.socket) as Exchange
  const index = open.indexOf(this)
  if (index >= 0) open.splice(index, 1)
}

/** Only the listener: `http.Server.close` would close idle connections, and a request on its way with them. */
function stopListening(server: NetServer): void {
  if (server.listening) NetServer.prototype.close.call(server)
}

function nameOf(response: ServerResponse): string {
  const { method, url, socket } = response.req
  return `${method ?? '?'} ${url ?? '?'} from ${socket.remoteAddress ?? 'a unix socket'}`
}
