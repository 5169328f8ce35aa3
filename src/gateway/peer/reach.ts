/** How a process reaches the gateways of its machine. */
import { ShiftworkError } from '../../index.ts'
import type { Missing } from '../types.ts'
import type { Reach } from './commands.ts'
import type { Target } from './link.ts'
import type { Links } from './links.ts'

export class LocalReach implements Reach {
  readonly #links: Links

  constructor(links: Links) {
    this.#links = links
  }

  find(gateway: string, deadlineMs: number): Target | Promise<Target | null> {
    return this.#links.find(gateway) ?? this.#look(gateway, deadlineMs)
  }

  async #look(gateway: string, deadlineMs: number): Promise<Target | null> {
    await this.#settle(deadlineMs, gateway)
    const target = this.#links.find(gateway)
    if (target) return target
    const reason = this.#links.failing.get(gateway) ?? (this.#links.awaited.includes(gateway) ? late(gateway) : null)
    if (reason === null) return null
    throw new ShiftworkError('ERR_NO_ANSWER', reason)
  }

  async all(deadlineMs: number): Promise<{ targets: Target[]; missing: Missing[] }> {
    await this.#settle(deadlineMs)
    const targets = this.#links.all().sort((one, other) => (one.gateway < other.gateway ? -1 : 1))
    const failing = [...this.#links.failing].map(([gateway, reason]) => ({ gateway, reason }))
    const awaited = this.#links.awaited.map((gateway) => ({ gateway, reason: late(gateway) }))
    return { targets, missing: [...failing, ...awaited] }
  }

  /** Until it is known who is there, or there is no more time for it. */
  async #settle(deadlineMs: number, gateway?: string): Promise<void> {
    const settling = this.#links.settle(gateway)
    if (!settling) return
    let timer: NodeJS.Timeout | undefined
    const isLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([settling, isLate])
    clearTimeout(timer)
  }
}

function late(gateway: string): string {
  return `there is no link to the gateway ${gateway} yet: it does not answer`
}
