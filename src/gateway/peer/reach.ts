/** How a process reaches the gateways of its machine. */
import { ShiftworkError } from '../../index.ts'
import { waitFor } from '../patience.ts'
import type { Found, Reach } from './asker.ts'
import type { Target } from './link.ts'
import type { Links } from './links.ts'

/** One that is not linked by then is frozen. */
const FINDING_SHARE = 0.5

/** The name under which those are missing that cannot be seen. */
const UNSEEN = 'unknown'

export class LocalReach implements Reach {
  readonly #links: Links

  constructor(links: Links) {
    this.#links = links
  }

  /** It cannot be told now which gateways there are. */
  get isBlind(): boolean {
    return this.#links.blindness !== null
  }

  get nowhere(): string | null {
    return this.#links.isNowhere ? this.#links.searched : null
  }

  find(gateway: string, deadlineMs: number): Target | Promise<Target | null> {
    if (this.#links.isClosed) return Promise.reject(closed())
    return this.#links.find(gateway) ?? this.#look(gateway, deadlineMs)
  }

  async #look(gateway: string, deadlineMs: number): Promise<Target | null> {
    await this.#settle(deadlineMs, gateway)
    const target = this.#links.find(gateway)
    if (target) return target
    // it may be that nobody looked any more
    if (this.#links.isClosed) throw closed()
    const reason =
      this.#links.failing.get(gateway) ??
      (this.#links.awaited.includes(gateway) ? late(gateway) : this.#links.blindness)
    if (reason === null) return null
    throw new ShiftworkError('ERR_NO_ANSWER', reason)
  }

  async all(deadlineMs: number): Promise<Found> {
    if (this.#links.isClosed) throw closed()
    await this.#settle(deadlineMs)
    if (this.#links.isClosed) throw closed()
    const targets = this.#links.all().sort((one, other) => (one.gateway < other.gateway ? -1 : 1))
    const failing = [...this.#links.failing].map(([gateway, reason]) => ({ gateway, reason }))
    const awaited = this.#links.awaited.map((gateway) => ({ gateway, reason: late(gateway) }))
    const { blindness } = this.#links
    const unseen = blindness === null ? [] : [{ gateway: UNSEEN, reason: blindness }]
    const missing = [...failing, ...awaited, ...unseen]
    const [forbidden = null] = targets.length === 0 ? this.#links.forbidden : []
    return { targets, missing, forbidden, searched: () => this.#links.searched }
  }

  /** Until it is known who is there, or that has taken its share of the time: those that are there get the rest. */
  async #settle(deadlineMs: number, gateway?: string): Promise<void> {
    const settling = this.#links.settle(gateway)
    if (!settling) return
    let endWait: (() => void) | undefined
    const isLate = new Promise<void>((resolve) => {
      endWait = waitFor(deadlineMs * FINDING_SHARE, resolve)
    })
    await Promise.race([settling, isLate])
    endWait?.()
  }
}

function closed(): ShiftworkError {
  return new ShiftworkError('ERR_CONNECTION_CLOSED', 'The links to gateways were closed: nothing is sent', {
    hint: 'Make a new GatewayClient.',
  })
}

function late(gateway: string): string {
  return `there is no link to the gateway ${gateway} yet: it does not answer`
}
