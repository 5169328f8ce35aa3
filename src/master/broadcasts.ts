/**
 * One message to every process of a group, in the order in which the master reads them: so all connections
 * see all broadcasts in one order. To a process that does not say that it has read what was sent, no more
 * than a window is sent. Made by the supervisor.
 */
import { type BroadcastResult, MAX_WAITING_BYTES, type WireData, wireBytes } from '../ipc/broadcast.ts'
import { Calls, type Outcome } from '../ipc/calls.ts'
import type { MasterMessage } from '../ipc/messages.ts'
import { Window } from '../ipc/window.ts'
import type { Child, Fleet } from './policy/fleet.ts'

/** A process that has not handed it on by then is late. */
const DELIVERY_TIMEOUT_MS = 2_000

/**
 * All that may have connections of their listener. One that was told to serve hears of what is broadcast from then
 * on, so a connection that it accepts misses nothing; one that leaves still has those that it had.
 */
const HEARING: ReadonlySet<Child['state']> = new Set(['prepared', 'admitted', 'serving', 'hung', 'draining'])

/** How processes are reached. */
export interface Reached {
  /** Its process has not ended, or that was not heard yet. */
  isThere(child: Child): boolean
  send(child: Child, message: MasterMessage): void
}

export class Broadcasts {
  readonly #fleet: Fleet
  readonly #reached: Reached
  readonly #calls = new Calls<number>()
  readonly #windows = new Map<number, Window>()

  constructor(fleet: Fleet, reached: Reached) {
    this.#fleet = fleet
    this.#reached = reached
  }

  /** Sends at once, and resolves when everybody has taken it or is late; null: there is no such group. */
  async broadcast(group: string, data: WireData): Promise<BroadcastResult | null> {
    if (!this.#fleet.groups.has(group)) return null
    const children = [...this.#fleet.children.values()].filter(
      (child) => child.name === group && HEARING.has(child.state) && this.#reached.isThere(child),
    )
    return sumOf(await Promise.all(children.map((child) => this.#deliver(child, data))))
  }

  /** The process has handed it to so many connections. */
  delivered(key: number, question: number, connections: number): void {
    this.#windows.get(key)?.release(question)
    this.#calls.answer(question, connections)
  }

  forget(key: number): void {
    this.#windows.delete(key)
    this.#calls.forget(key)
  }

  async #deliver(child: Child, data: WireData): Promise<Outcome<number> | 'behind'> {
    const window = this.#windows.get(child.key) ?? new Window(MAX_WAITING_BYTES)
    this.#windows.set(child.key, window)
    const bytes = wireBytes(data)
    if (!window.hasRoom(bytes)) return 'behind'
    const send = (question: number): void => {
      window.take(question, bytes)
      this.#reached.send(child, { type: 'deliver', question, data })
    }
    return this.#calls.ask(child.key, { send, timeoutMs: DELIVERY_TIMEOUT_MS })
  }
}

function sumOf(outcomes: readonly (Outcome<number> | 'behind')[]): BroadcastResult {
  const taken = outcomes.filter((outcome) => typeof outcome === 'object')
  return {
    processes: taken.length,
    connections: taken.reduce((sum, { answer }) => sum + answer, 0),
    behind: outcomes.filter((outcome) => outcome === 'behind').length,
    late: outcomes.filter((outcome) => outcome === 'late').length,
  }
}
