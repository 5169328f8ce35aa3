/** What becomes of a client that says more than is handled: it waits, loses its eldest messages, or is sent away. */
import type { QueueLimits } from '../options.ts'
import type { Clients } from './clients.ts'
import { closeWith } from './close.ts'
import type { Dispatch } from './dispatch.ts'
import type { HubClient } from './model.ts'

/** So many clients that are gone are kept for a worker to hear of them; a load balancer's probes would fill the memory. */
const MAX_GONE = 5_000
/** How often messages are looked for that wait for too long. */
const LOOK_MS = 1_000
/** One that waits speaks again when no more than so much of its limits is taken. */
const RESUME_AT = 0.5
/** RFC 6455, registered with IANA: Try Again Later. */
const TRY_AGAIN_LATER = 1013

export class Queue {
  readonly #limits: QueueLimits
  readonly #dispatch: Dispatch
  readonly #clients: Clients
  readonly #paused = new Set<HubClient>()
  #timer: NodeJS.Timeout | null = null
  /** Some stay paused for what all have together, and not for what they have themselves. */
  #isAllOver = false
  dropped = 0
  closed = 0

  constructor(limits: QueueLimits, { dispatch, clients }: { dispatch: Dispatch; clients: Clients }) {
    this.#limits = limits
    this.#clients = clients
    this.#dispatch = dispatch
  }

  get paused(): number {
    return this.#paused.size
  }

  /** Looks from now on for what waits for too long. */
  watch(): void {
    if (this.#limits.overflow === 'wait') return
    this.#timer = setInterval(() => {
      const before = performance.now() - this.#limits.maxMs
      for (const client of this.#clients.all()) if (client.line.waiting > 0) this.#expire(client, before)
    }, LOOK_MS).unref()
  }

  /** From now on nothing is done for those that are paused; they are not any more. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    for (const client of [...this.#paused]) this.forget(client)
  }

  #expire(client: HubClient, before: number): void {
    if (this.#limits.overflow === 'close' && !client.isClosed) {
      const eldest = client.line.nextMessage
      if (eldest && eldest.cameAt < before) this.#sendAway(client)
      return
    }
    while (this.#dispatch.dropOldest(client, before)) this.dropped++
    if (client.isClosed) this.noteClosed(client)
  }

  /** It has gone, and so many are gone that one is not kept that had nothing to say. */
  noteClosed(client: HubClient): void {
    this.forget(client)
    if (this.#clients.gone <= MAX_GONE || client.owner || !client.line.isUnheard) return
    this.#dispatch.forgetUnheard(client)
    this.dropped++
  }

  /** A message of this client was put into its line. */
  noteAdded(client: HubClient): void {
    if (!this.#isOver(client, 1)) return
    switch (this.#limits.overflow) {
      case 'wait':
        if (client.isPaused) return
        client.isPaused = true
        this.#isAllOver ||= this.#isTotalOver(1)
        this.#paused.add(client)
        client.connection.pause()
        return
      case 'drop':
        while (this.#isOver(client, 1) && this.#dispatch.dropOldest(client)) this.dropped++
        return
      case 'close':
        // it comes again, as it is told to, and would fill the memory with what it says then
        if (this.#dispatch.dropNewest(client)) this.dropped++
        this.#sendAway(client)
        return
    }
  }

  #isOver(client: HubClient, share: number): boolean {
    return this.#isOwnOver(client, share) || this.#isTotalOver(share)
  }

  #isOwnOver({ line }: HubClient, share: number): boolean {
    const { maxMessages, maxBytes } = this.#limits
    return line.size > maxMessages * share || line.byteLength > maxBytes * share
  }

  #isTotalOver(share: number): boolean {
    return this.#dispatch.byteLength > this.#limits.maxTotalBytes * share
  }

  #sendAway({ connection }: HubClient): void {
    // it is on its way already
    if (connection.state === 'closing' || connection.state === 'closed') return
    this.closed++
    closeWith(connection, TRY_AGAIN_LATER, 'too many messages wait')
  }

  /** There is room again. */
  noteRelieved(client: HubClient): void {
    this.#resume(client)
    if (!this.#isAllOver || this.#isTotalOver(RESUME_AT)) return
    this.#isAllOver = false
    for (const other of [...this.#paused]) this.#resume(other)
  }

  #resume(client: HubClient): void {
    if (!client.isPaused || this.#isOwnOver(client, RESUME_AT)) return
    if (this.#isTotalOver(RESUME_AT)) {
      // its own next acknowledgement may never come: it has nothing left
      this.#isAllOver = true
      return
    }
    this.forget(client)
    client.connection.resume()
  }

  forget(client: HubClient): void {
    client.isPaused = false
    this.#paused.delete(client)
  }
}
