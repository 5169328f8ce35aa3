/**
 * How a master is found: its pid file and its control socket. Looked after for as long as it lives: a
 * cleaner of temporary files, or of a working tree, may remove them, and every command would say that
 * nothing runs. Made by the master's main.
 */
import { lstatSync } from 'node:fs'
import { describeError, systemCode } from '../errors.ts'
import type { ControlRequest } from '../ipc/requests.ts'
import type { Log } from '../log.ts'
import { takeStateDir } from '../os/occupancy.ts'
import { type Holder, isOwnPidFile, readPidFile, releasePidFile } from '../os/pidfile.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import { type Asker, type ControlServer, openControl } from './control.ts'

const LOOK_MS = 2_000

export interface PresenceOptions {
  stateDir: StateDir
  /** Opened before the lock was taken, and not shown yet. */
  control: ControlServer
  log: Log
  onRequest: (request: ControlRequest, asker: Asker) => void
  /** The directory is there again: what else was in it may be made anew. */
  onRestored: () => void
}

export class Presence {
  readonly #options: PresenceOptions
  /** One, but for a moment. */
  readonly #controls: ControlServer[] = []
  #timer: NodeJS.Timeout | null = null
  #restoring: Promise<void> = Promise.resolve()
  /** Why it cannot be found, in words, while that is so. */
  #problem: string | null = null

  private constructor(options: PresenceOptions) {
    this.#options = options
  }

  /** This process has the lock already. @throws ShiftworkError when the control socket cannot be shown. */
  static open(options: PresenceOptions): Presence {
    const presence = new Presence(options)
    presence.#show(options.control)
    presence.#timer = setInterval(() => presence.#look(), LOOK_MS).unref()
    return presence
  }

  warnings(): string[] {
    return this.#problem === null ? [] : [this.#problem]
  }

  /** Nobody finds it any more; the lock goes after this. */
  async hide(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    await this.#restoring
    // what is there may be another master's by now
    if (isOwnPidFile(this.#options.stateDir.pidFile)) this.#controls.at(-1)?.hide()
  }

  release(): void {
    releasePidFile(this.#options.stateDir.pidFile)
  }

  /** Takes nothing new, and waits for the replies under way, but not for long. */
  async close(): Promise<void> {
    await Promise.all(this.#controls.map((control) => control.close()))
  }

  #show(control: ControlServer): void {
    control.show(this.#options.onRequest)
    // the former one goes when this one is in its place, and not before
    for (const former of this.#controls.splice(0)) void former.close()
    this.#controls.push(control)
  }

  #isShown(): boolean {
    return this.#controls.at(-1)?.isShown() === true
  }

  #look(): void {
    const { pidFile } = this.#options.stateDir
    const holder = readPidFile(pidFile)
    // one that cannot be read tells nothing
    const isOurs = holder === null ? isThere(pidFile) : isOwnPidFile(pidFile)
    if (isOurs && this.#isShown()) return
    this.#restoring = this.#restoring.then(() => this.#restore())
  }

  async #restore(): Promise<void> {
    if (!this.#timer) return
    const { stateDir, log, onRestored } = this.#options
    let control: ControlServer | null = null
    try {
      createStateDir(stateDir)
      control = await openControl(stateDir)
      const holder = await takeStateDir(stateDir, () => this.#isShown())
      if (holder) throw new Error(`another master (${whereabouts(holder)}) has its place`)
      this.#show(control)
      this.#problem = null
      onRestored()
      log.warn(`the pid file or the control socket in ${stateDir.path} was removed: made again`)
    } catch (error) {
      void control?.close()
      const problem = `no command finds this master: ${describeError(error).message}; kill -TERM ${process.pid} stops it`
      if (problem !== this.#problem) log.error(problem)
      this.#problem = problem
    }
  }
}

function whereabouts(holder: Holder): string {
  return holder === 'unseen' ? 'perhaps in another container' : `pid ${holder.pid}`
}

function isThere(path: string): boolean {
  try {
    lstatSync(path)
    return true
  } catch (error) {
    // only a name that is gone is; whatever else is in the way tells nothing
    return systemCode(error) !== 'ENOENT'
  }
}
