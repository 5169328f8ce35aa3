/**
 * Where a worker meets its clients, whatever carries them: a server that accepts connections, or a socket
 * for datagrams. Made by `run`, which knows no more of it than this.
 */
import type { Server } from 'node:net'
import { type Protocol as Scheme, speechOf } from '../address.ts'
import type { StopReason, WorkerMessage } from '../ipc/messages.ts'
import { Descriptors } from '../os/descriptors.ts'
import type { Owner } from '../protocols/connection.ts'
import { Datagrams } from '../protocols/datagram/datagrams.ts'
import type { Runnable } from '../protocols/hooks.ts'
import { createServer } from '../protocols/server.ts'
import type { Traffic } from '../protocols/traffic.ts'
import type { Drainable } from './drain.ts'
import { closeHandle, listenOn, openDatagrams } from './listen.ts'
import { Pressure } from './pressure.ts'

export interface Endpoint {
  /** What a drain has to wait for, beside the connections that `Traffic` sees. */
  readonly begun: readonly Drainable[]
  /** Null: it takes datagrams. */
  readonly server: Server | null
  /** Serves on the handle that the master holds. @throws the system's error. */
  serve(handle: unknown): Promise<void>
  /** The worker is admitted: from now on it looks after itself, and may ask for the handle once more. */
  watch(): void
  /** The handle that was asked for. */
  resume(handle: unknown): Promise<void>
  /** Takes nothing new; `Traffic` sees to the servers. Safe at any time. */
  stop(reason: StopReason): void
}

export interface EndpointOptions {
  runnable: Runnable
  scheme: Scheme
  owner: Owner
  traffic: Traffic
  backlog: number
  report: (message: Extract<WorkerMessage, { type: 'full' | 'roomy' }>) => void
}

/** Serving nothing yet; what speaks its protocol is loaded. */
export async function createEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const { runnable, scheme, owner } = options
  if (speechOf(scheme) === 'udp') return new DatagramEndpoint(owner)
  return new ServerEndpoint(options, await createServer(runnable, scheme, owner))
}

class ServerEndpoint implements Endpoint {
  readonly begun = []
  readonly #options: EndpointOptions
  readonly server: Server
  #pressure: Pressure | null = null

  constructor(options: EndpointOptions, server: Server) {
    this.#options = options
    this.server = server
    options.traffic.register(server)
  }

  serve(handle: unknown): Promise<void> {
    return listenOn(this.server, handle, this.#options.backlog)
  }

  watch(): void {
    const descriptors = Descriptors.own()
    if (descriptors) this.#pressure = new Pressure({ ...this.#options, descriptors, server: this.server })
  }

  async resume(handle: unknown): Promise<void> {
    if (this.#pressure) await this.#pressure.resume(handle)
    else closeHandle(handle)
  }

  stop(): void {
    this.#pressure?.stop()
  }
}

/** A datagram takes no descriptor, so there is nothing to look after. */
class DatagramEndpoint implements Endpoint {
  readonly begun: readonly Drainable[]
  readonly server = null
  readonly #datagrams: Datagrams

  constructor(owner: Owner) {
    this.#datagrams = new Datagrams(owner)
    this.begun = [this.#datagrams]
  }

  async serve(handle: unknown): Promise<void> {
    this.#datagrams.open(openDatagrams(handle))
  }

  watch(): void {
    // nothing runs out
  }

  async resume(handle: unknown): Promise<void> {
    closeHandle(handle)
  }

  /** One that has failed leaves to its successor what it has not read; otherwise there may be none. */
  stop(reason: StopReason): void {
    if (reason === 'crash') this.#datagrams.stop()
    else this.#datagrams.stopWhenRead()
  }
}
