/** How a process reaches the gateways of its machine. */
import { ShiftworkError } from '../../index.ts'
import type { Missing } from '../types.ts'
import type { Reach } from './commands.ts'
import type { Target } from './link.ts'
import type { Links } from './links.ts'

/** One that is not linked by then is frozen. */
const FINDING_SHARE = 0.5

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
    const missing = [...failing, ...awaited]
    if (targets.length === 0 && missing.length === 0) this.#rejectForbidden()
    return { targets, missing }
  }

  #rejectForbidden(): void {
    const [directory] = this.#links.forbidden
    if (directory === undefined) return
    throw new ShiftworkError('ERR_STATE_DIR', `The gateways of ${directory} are another user's`, {
      hint: 'Ask as that user, or give everybody a linkDir that both may use.',
    })
  }

  /** Until it is known who is there, or that has taken its share of the time: those that are there get the rest. */
  async #settle(deadlineMs: number, gateway?: string): Promise<void> {
    const settling = this.#links.settle(gateway)
    if (!settling) return
    let timer: NodeJS.Timeout | undefined
    const isLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs * FINDING_SHARE)
    })
    await Promise.race([settling, isLate])
    clearTimeout(timer)
  }
}

function late(gateway: string): string {
  return `there is no link to the gateway ${gateway} yet: it does not answer`
}
