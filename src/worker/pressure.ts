/**
 * Keeps a worker from running out of file descriptors. One that has none accepts and drops what waits
 * on the shared listening handle, beside a healthy worker that could have answered it. So when only
 * a reserve is left, it gives its copy of the handle back (connections go to the others, or wait in
 * the backlog), lets each answer end its connection, closes connections that have asked nothing, and
 * asks the master for the handle when it has room. Made by `run` when the worker begins to serve.
 */
import type { Server } from 'node:net'
import { systemCode } from '../errors.ts'
import type { WorkerMessage } from '../ipc/messages.ts'
import type { Descriptors, DescriptorUse } from '../os/descriptors.ts'
import { waitFor } from '../patience.ts'
import type { Traffic } from '../protocols/traffic.ts'
import { closeHandle, descriptorOf, listenAgain, pauseListening } from './listen.ts'

/** User code takes descriptors that nobody tells of; accepted ones are seen at once. */
const LOOK_MS = 1_000
const FULL_LOOK_MS = 250
/** A handle that was asked for is here within this, or was lost. */
const LOST_MS = 2_000
/** One that is full again so soon is not told of again: under a flood that would be told all the time. */
const NEWS_MS = 30_000
/** A client that has not got its request's head out in this time may lose its connection to others. */
const PATIENCE_MS = 5_000

const NONE_LEFT = new Set(['EMFILE', 'ENFILE'])

export interface PressureOptions {
  descriptors: Pick<Descriptors, 'fullAt' | 'roomAt' | 'look' | 'useBy'>
  server: Server
  backlog: number
  traffic: Pick<Traffic, 'onConnection' | 'endConnections' | 'keepConnections' | 'closeUnasked'>
  report: (message: Extract<WorkerMessage, { type: 'full' | 'roomy' }>) => void
}

export class Pressure {
  readonly #options: PressureOptions
  /** listens · full: does not · asking: has room, and waits for the handle */
  #state: 'listening' | 'full' | 'asking' | 'stopped' = 'listening'
  #endWait: () => void = () => undefined
  #askedAt = 0
  #toldAt = Number.NEGATIVE_INFINITY
  #isNews = false

  constructor(options: PressureOptions) {
    this.#options = options
    const { traffic, descriptors, server } = options
    traffic.onConnection = (socket) => {
      const descriptor = descriptorOf(socket)
      // inside the accept itself: libuv looks after each connection whether the handle was closed
      if (descriptor >= descriptors.fullAt) this.#fill(descriptors.useBy(descriptor))
    }
    // not one was left after all, or none in the whole system; libuv would try for ever while the handle is open
    server.on('error', (error) => {
      if (NONE_LEFT.has(systemCode(error) ?? '')) this.#fill(descriptors.look())
    })
    this.#wait()
  }

  /** The handle that was asked for. It may have been lost on the way, and is asked for again then. */
  async resume(handle: unknown): Promise<void> {
    if (this.#state !== 'asking') {
      closeHandle(handle)
      return
    }
    const { server, backlog, traffic } = this.#options
    this.#state = (await listenAgain(server, handle, backlog)) ? 'listening' : 'full'
    if (this.#state === 'listening') traffic.keepConnections()
  }

  /** It drains: nothing is watched any more, and nothing asked for. */
  stop(): void {
    this.#state = 'stopped'
    this.#options.traffic.onConnection = null
    this.#endWait()
  }

  #wait(): void {
    this.#endWait()
    const ms = this.#state === 'listening' ? LOOK_MS : FULL_LOOK_MS
    // what was asked while this process was stalled is not taken for nothing
    this.#endWait = waitFor(ms, () => this.#look(), { keepsAlive: false })
  }

  #look(): void {
    const { descriptors } = this.#options
    const use = descriptors.look()
    // Node.js does not tell when a handle was lost on its way, for want of a descriptor to take it
    if (this.#state === 'asking' && performance.now() - this.#askedAt >= LOST_MS) this.#state = 'full'
    if (this.#state === 'listening' && use.used >= descriptors.fullAt) this.#fill(use)
    else if (this.#state === 'full') this.#makeRoom(use)
    this.#wait()
  }

  #fill(use: DescriptorUse): void {
    if (this.#state !== 'listening') return
    this.#state = 'full'
    const { server, traffic, report } = this.#options
    pauseListening(server)
    traffic.endConnections(server)
    const now = performance.now()
    this.#isNews = now - this.#toldAt >= NEWS_MS
    if (this.#isNews) this.#toldAt = now
    report({ type: 'full', use, isNews: this.#isNews })
    this.#wait()
  }

  #makeRoom(use: DescriptorUse): void {
    const { descriptors, traffic, server, report } = this.#options
    const tooMany = use.used - descriptors.roomAt
    if (tooMany > 0) {
      traffic.closeUnasked(server, { atMost: tooMany, afterMs: PATIENCE_MS })
      return
    }
    this.#state = 'asking'
    this.#askedAt = performance.now()
    report({ type: 'roomy', use, isNews: this.#isNews })
  }
}
