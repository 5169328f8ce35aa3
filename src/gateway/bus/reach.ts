/** How a process reaches gateways near and far: those of this machine over links, the others over the bus. */
import type { Found, Reach } from '../peer/asker.ts'
import { Deadline } from '../peer/deadline.ts'
import type { Target } from '../peer/link.ts'
import type { LocalReach } from '../peer/reach.ts'
import type { Far } from './far.ts'

export class BusReach implements Reach {
  readonly #near: LocalReach
  readonly #far: Far

  constructor(near: LocalReach, far: Far) {
    this.#near = near
    this.#far = far
  }

  find(gateway: string, deadlineMs: number): Target | Promise<Target | null> {
    const deadline = new Deadline(deadlineMs)
    const found = this.#near.find(gateway, deadlineMs)
    if (!(found instanceof Promise)) return found
    return found.then(
      (target) => target ?? this.#far.find(gateway, deadline.leftMs),
      (error: unknown) => this.#findFar(gateway, deadline.leftMs, error),
    )
  }

  /** It may be of another machine, also when nothing can be seen of this one. */
  async #findFar(gateway: string, deadlineMs: number, error: unknown): Promise<Target> {
    const target = this.#near.isBlind ? await this.#far.find(gateway, deadlineMs) : null
    if (!target) throw error
    return target
  }

  async all(deadlineMs: number): Promise<Found> {
    const [near, far] = await Promise.all([this.#near.all(deadlineMs), this.#far.all(deadlineMs)])
    const known = new Set([...near.targets, ...near.missing].map(({ gateway }) => gateway))
    const others = far.targets.filter(({ gateway }) => !known.has(gateway))
    const targets = [...near.targets, ...others].sort((one, other) => (one.gateway < other.gateway ? -1 : 1))
    return { ...near, targets, missing: [...near.missing, ...far.missing] }
  }
}
