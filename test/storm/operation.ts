/** What an operation of a storm is: a row of the table, drawn by weight, planned by chance, then done. */
import type { Random } from '../unit/random.ts'
import type { Kind } from './fleet.ts'
import type { Step, Touch } from './step.ts'

/** All chance is drawn before anything is done: the same seed gives the same operations. */
export interface Planned {
  text: string
  run(step: Step): Promise<void>
}

export interface Operation {
  name: string
  /** How often it is drawn, beside the others'. */
  weight: number
  touches: readonly Touch[]
  /** It can be done beside others that touch something else. */
  joins: boolean
  /** It ends processes so that they lose what they have open; done a few times in a fleet, since pauses grow. */
  isDeadly?: boolean
  /** Default: all. */
  kinds?: readonly Kind[]
  plan(random: Random, kind: Kind): Planned
}
