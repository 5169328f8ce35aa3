/**
 * The upstreams of a worker process, and their part in its drain: they are tried no more once it has
 * begun, serve the last requests, and are closed when those are answered.
 */
import type { WorkerView } from '../protocols/connection.ts'
import { Connections } from '../protocols/connections.ts'
import type { Upstream, UpstreamHome } from './upstream.ts'

export class Upstreams implements UpstreamHome {
  readonly worker: WorkerView
  /** What they have open. Not among those that the worker has accepted. */
  readonly connections = new Connections()
  readonly #all = new Set<Upstream>()
  #phase: 'serving' | 'draining' | 'parting' = 'serving'
  #onEmpty: () => void = () => undefined

  constructor(worker: WorkerView) {
    this.worker = worker
  }

  get isDraining(): boolean {
    return this.#phase !== 'serving'
  }

  /** One that comes when the worker has nothing left to do is closed again. */
  add(upstream: Upstream): void {
    this.#all.add(upstream)
    if (this.#phase === 'parting') setImmediate(() => upstream.part())
  }

  delete(upstream: Upstream): void {
    this.#all.delete(upstream)
    if (this.#all.size === 0) this.#onEmpty()
  }

  /** The drain has begun. New ones may still be opened: a request may need one. */
  stopTrying(): void {
    this.#phase = 'draining'
    for (const upstream of [...this.#all]) upstream.stopTrying()
  }

  /** Ends each after what it has begun. Resolves when the last is gone. */
  partWithAll(): Promise<void> {
    this.#phase = 'parting'
    for (const upstream of [...this.#all]) upstream.part()
    if (this.#all.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
    })
  }

  /** Closes everything by force. */
  cut(): void {
    this.#phase = 'parting'
    for (const upstream of [...this.#all]) upstream.destroy()
  }
}
