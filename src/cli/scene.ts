/** What a view remembers from look to look: since when something is so. Pure: the time is passed in. */
import type { SeenStatus } from '../ipc/status.ts'
import type { Scene } from './picture.ts'
import type { Sight } from './sights.ts'

export class Memory {
  #status: SeenStatus | null = null
  #state: string | null = null
  #stateSinceMs: number | null = null
  /** The master and its last reload, as text that only ever equals itself. */
  #reload: { pid: number; text: string } | null = null
  #reloadedAtMs: number | null = null

  /** @returns what there is to show; null when no master was ever seen. */
  note(sight: Sight, nowMs: number): Omit<Scene, 'footer'> | null {
    const state = sight.master === 'speaks' ? sight.status.master.state : sight.master
    // what was so at the first look may have been so for long
    if (this.#state !== null && this.#state !== state) this.#stateSinceMs = nowMs
    this.#state = state
    if (sight.master === 'speaks') this.#noteReload(sight.status, nowMs)
    this.#status = sight.status ?? this.#status
    if (!this.#status) return null
    return {
      status: this.#status,
      master: sight.master,
      problem: sight.problem ? [sight.problem.message, ...(sight.problem.hint?.split('\n') ?? [])] : [],
      nowMs,
      stateSinceMs: this.#stateSinceMs,
      reloadedAtMs: this.#reloadedAtMs,
    }
  }

  #noteReload({ master: { pid }, lastReload }: SeenStatus, nowMs: number): void {
    const text = JSON.stringify(lastReload)
    const isSameMaster = this.#reload?.pid === pid
    if (!isSameMaster) this.#reloadedAtMs = null
    else if (this.#reload?.text !== text) this.#reloadedAtMs = nowMs
    this.#reload = { pid, text }
  }
}
