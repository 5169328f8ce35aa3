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

  find(gateway: string): Target | Promise<Target | null> {
    return this.#links.find(gateway) ?? this.#look(gateway)
  }

  async #look(gateway: string): Promise<Target | null> {
    await this.#links.settle()
    const target = this.#links.find(gateway)
    if (target) return target
    const reason = this.#links.failing.get(gateway)
    if (reason === undefined) return null
    throw new ShiftworkError('ERR_NO_ANSWER', reason)
  }

  async all(): Promise<{ targets: Target[]; missing: Missing[] }> {
    await this.#links.settle()
    const targets = this.#links.all().sort((one, other) => (one.gateway < other.gateway ? -1 : 1))
    const missing = [...this.#links.failing].map(([gateway, reason]) => ({ gateway, reason }))
    return { targets, missing }
  }
}
