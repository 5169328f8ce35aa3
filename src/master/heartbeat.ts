/**
 * Asks the workers for a sign of life, again and again, and notices when the master itself has not run:
 * stopped by a signal, or with a machine that was suspended. Made by the supervisor; what the silence
 * of a worker means is the policy's to say.
 */
import { performance } from 'node:perf_hooks'
import { mayBeStopped } from '../os/processes.ts'
import type { FleetEvent } from './policy/events.ts'
import type { Fleet } from './policy/fleet.ts'
import { beatPeriodMs, isWatched, sleepMs } from './policy/hang.ts'

export interface HeartbeatOptions {
  fleet: Fleet
  /** Sends the question to the child of this key. */
  ask: (key: number) => void
  onEvent: (event: FleetEvent) => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: NodeJS.Timeout | null = null
  #periodMs: number | null = null
  #lastAt = 0
  #sleptUntil = 0

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** Beats as often as the fleet wants it now. Cheap when nothing has changed. */
  adjust(): void {
    this.#set(beatPeriodMs(this.#options.fleet))
  }

  end(): void {
    this.#set(null)
  }

  #set(periodMs: number | null): void {
    if (periodMs === this.#periodMs) return
    this.#periodMs = periodMs
    this.#lastAt = performance.now()
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = periodMs === null ? null : setInterval(() => this.#beat(periodMs), periodMs)
  }

  #beat(periodMs: number): void {
    this.noteWake(this.#lastAt + periodMs)
    this.#lastAt = performance.now()
    const { fleet, ask, onEvent } = this.#options
    const watched = [...fleet.children.values()].filter(isWatched)
    const owing = watched.filter((child) => child.silentSince !== null)
    const stopped = owing.filter((child) => mayBeStopped(child.pid))
    const asked = watched.filter((child) => child.silentSince === null)
    for (const child of asked) ask(child.key)
    if (asked.length > 0 || owing.length > 0)
      onEvent({ type: 'beat', asked: asked.map(({ key }) => key), stopped: stopped.map(({ key }) => key) })
  }

  /**
   * Tells the policy of a sleep of this process, once.
   * @param dueAt when a timer was to fire that fires now.
   */
  noteWake(dueAt: number): void {
    const now = performance.now()
    const ms = now - Math.max(dueAt, this.#sleptUntil)
    if (ms < sleepMs(this.#options.fleet)) return
    this.#sleptUntil = now
    this.#options.onEvent({ type: 'slept', ms })
  }
}
