/** Every operation of a storm, and how a step is drawn from them. */
import type { Random } from '../unit/random.ts'
import { COMMAND_OPERATIONS } from './commands.ts'
import { FAULT_OPERATIONS } from './faults.ts'
import type { Kind } from './fleet.ts'
import type { Operation, Planned } from './operation.ts'
import { RELOADS } from './reloads.ts'
import type { Touch } from './step.ts'

export const OPERATIONS: readonly Operation[] = [...RELOADS, ...FAULT_OPERATIONS, ...COMMAND_OPERATIONS]

/** Of each fleet: the pause before a restart doubles with each, and clients wait for it. */
const MOST_DEADLY = 4
const MOST_AT_ONCE = 3

export interface Draw {
  planned: Planned[]
  touched: Set<Touch>
}

/** Draws the steps of one fleet, one after another, from its chance alone. */
export class Deck {
  readonly #random: Random
  readonly #kind: Kind
  readonly #only: string | null
  #deadly = 0

  /** @param only nothing but operations whose name has this in it; null: all. */
  constructor(random: Random, kind: Kind, only: string | null) {
    this.#random = random
    this.#kind = kind
    this.#only = only
  }

  next(): Draw {
    const first = this.#draw(() => true)
    const drawn = first ? [first] : []
    const wanted = first?.joins && this.#random.chance(0.5) ? this.#random.int(2, MOST_AT_ONCE) : 1
    while (drawn.length < wanted) {
      const touched = new Set(drawn.flatMap(({ touches }) => touches))
      const next = this.#draw((one) => one.joins && !drawn.includes(one) && !one.touches.some((it) => touched.has(it)))
      if (!next) break
      drawn.push(next)
    }
    return {
      planned: drawn.map((operation) => operation.plan(this.#random, this.#kind)),
      touched: new Set(drawn.flatMap(({ touches }) => touches)),
    }
  }

  #draw(fits: (operation: Operation) => boolean): Operation | null {
    const fitting = OPERATIONS.filter((operation) => this.#isPossible(operation) && fits(operation))
    let at = this.#random.next() * fitting.reduce((sum, { weight }) => sum + weight, 0)
    const drawn =
      fitting.find(({ weight }) => {
        at -= weight
        return at < 0
      }) ?? null
    if (drawn?.isDeadly) this.#deadly++
    return drawn
  }

  #isPossible({ name, isDeadly, kinds }: Operation): boolean {
    if (isDeadly && this.#deadly >= MOST_DEADLY) return false
    if (this.#only !== null && !name.includes(this.#only)) return false
    return kinds === undefined || kinds.includes(this.#kind)
  }
}
