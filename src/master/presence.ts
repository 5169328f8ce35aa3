/**
 * How a master is found: its pid file and its control socket. Looked after for as long as it lives: a
 * cleaner of temporary files, or of a working tree, may remove them, and every command would say that
 * nothing runs. Made by the master's main.
 */
import { lstatSync } from 'node:fs'
import { describeError, systemCode } from '../errors.ts'
import type { ControlRequest } from '../ipc/requests.ts'
import type { Log } from '../log.ts'
import { isOwnPidFile, readPidFile, releasePidFile, takePidFile } from '../os/pidfile.ts'
import { createStateDir, type StateDir } from '../os/statedir.ts'
import { type Asker, type ControlServer, openControl } from './control.ts'

const LOOK_MS = 2_000

export interface PresenceOptions {
  stateDir: StateDir
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

  /** This process has the lock already. @throws ShiftworkError when the control socket cannot be opened. */
  static async open(options: PresenceOptions): Promise<Presence> {
    const presence = new Presence(options)
    await presence.#listen()
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

  async #listen(): Promise<void> {
    const { stateDir, onRequest } = this.#options
    this.#controls.push(await openControl(stateDir.controlSocket, onRequest))
  }

  #look(): void {
    const { pidFile, controlSocket } = this.#options.stateDir
    const holder = readPidFile(pidFile)
    // one that cannot be read tells nothing
    const isOurs = holder === null ? isThere(pidFile) : isOwnPidFile(pidFile)
    if (isOurs && isThere(controlSocket)) return
    this.#restoring = this.#restoring.then(() => this.#restore())
  }

  async #restore(): Promise<void> {
    if (!this.#timer) return
    const { stateDir, log, onRestored } = this.#options
    try {
      createStateDir(stateDir)
      const holder = await takePidFile(stateDir.pidFile)
      if (holder) throw new Error(`another master (pid ${holder.pid}) has its place`)
      await this.#listen()
      // the former one goes when this one is in its place, and not before
      for (const control of this.#controls.splice(0, this.#controls.length - 1)) void control.close()
      this.#problem = null
      onRestored()
      log.warn(`the pid file or the control socket in ${stateDir.path} was removed: made again`)
    } catch (error) {
      const problem = `no command finds this master: ${describeError(error).message}; kill -TERM ${process.pid} stops it`
      if (problem !== this.#problem) log.error(problem)
      this.#problem = problem
    }
  }
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
