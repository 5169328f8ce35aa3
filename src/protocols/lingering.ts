/**
 * Closes what lingers while a worker drains: connections that never said anything, and, where no timeout
 * of their own does it, idle ones. Made by `traffic`.
 */
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { Server as NetServer, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { lookEvery } from '../patience.ts'

export type WebServer = HttpServer | HttpsServer

export interface LingeringOptions {
  servers: ReadonlySet<NetServer>
  /** Each open socket of this server, with when it came, on the clock of `performance.now()`. */
  socketsOf: (server: NetServer) => { socket: Socket; since: number }[]
  /** Of these, under TLS, whose handshake is not done. */
  unsecuredOf: (server: TlsServer) => { socket: Socket; since: number }[]
}

const DEFAULT_LINGER_MS = 5_000
const SWEEP_MS = 100

export class Lingering {
  readonly #options: LingeringOptions
  #timer: NodeJS.Timeout | null = null
  #begunAt = 0
  /** How long idle connections may stay whatever their server lets them; null: that was not ordered. */
  #order: { ms: number; endsAt: number } | null = null

  constructor(options: LingeringOptions) {
    this.#options = options
  }

  /** Safe to call twice. */
  begin(): void {
    if (this.#timer) return
    this.#begunAt = performance.now()
    // a process that was blocked has not heard yet what was asked meanwhile
    this.#timer = lookEvery(SWEEP_MS, () => this.#sweep(performance.now()))
  }

  /** Idle connections may stay so long from now on, and no longer; a later order only shortens that. */
  endWithin(ms: number): void {
    const endsAt = performance.now() + ms
    if (this.#order === null || endsAt < this.#order.endsAt) this.#order = { ms, endsAt }
  }

  end(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }

  #sweep(now: number): void {
    if (!this.#timer) return
    const { servers } = this.#options
    for (const server of servers) {
      const ownMs = isWeb(server) && server.keepAliveTimeout > 0 ? server.keepAliveTimeout : null
      const lingerMs = this.#order?.ms ?? ownMs ?? DEFAULT_LINGER_MS
      if (now < (this.#order?.endsAt ?? this.#begunAt + lingerMs)) continue
      if (isWeb(server) && (this.#order !== null || ownMs === null)) server.closeIdleConnections()
      // one that was accepted since may have said what is not read yet
      for (const { socket, since } of this.#silent(server)) if (now - since >= lingerMs) socket.destroy()
    }
  }

  /** They have asked nothing; of a connection whose TLS has not come about no protocol knows. */
  #silent(server: NetServer): { socket: Socket; since: number }[] {
    const { socketsOf, unsecuredOf } = this.#options
    const unsecured = server instanceof TlsServer ? unsecuredOf(server) : []
    if (!isWeb(server)) return unsecured
    // the first bytes of a handshake are no question either
    return [...socketsOf(server).filter(({ socket }) => socket.bytesRead === 0), ...unsecured]
  }
}

export function isWeb(server: NetServer): server is WebServer {
  return server instanceof HttpServer || server instanceof HttpsServer
}
