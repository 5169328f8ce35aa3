/** How the master that is to be restarted was started: as it says, or as the process table shows. For `restart`. */
import { ShiftworkError } from '../errors.ts'
import type { DaemonSettings } from '../ipc/daemon.ts'
import { environOf, valueIn } from '../os/environ.ts'
import { argumentsOf, type ProcessId } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { DAEMON_VARIABLE } from '../variables.ts'
import { fetchStatus } from './look.ts'
import { OtherVersion } from './otherversion.ts'

export interface Mode {
  daemon: boolean
  watching: boolean
}

/** @throws ShiftworkError as `ask` does, but for one that is to be ended though it cannot be asked. */
export async function formerMode(stateDir: StateDir, master: ProcessId, how: { force: boolean }): Promise<Mode> {
  try {
    const { daemon, watching } = (await fetchStatus(stateDir)).master
    return { daemon, watching }
  } catch (error) {
    const code = error instanceof ShiftworkError ? error.code : null
    // it has ended by itself since it was looked for
    if (code === 'ERR_NOT_RUNNING') return { daemon: false, watching: false }
    const isToEnd = error instanceof OtherVersion || (code === 'ERR_NO_ANSWER' && how.force)
    if (!isToEnd) throw error
    return modeShownBy(master)
  }
}

/** A daemon began with what its launcher handed to it. Elsewhere than on Linux nothing is shown. */
export function modeShownBy({ pid }: ProcessId): Mode {
  const environ = environOf(pid)
  const settings = environ && valueIn(environ, DAEMON_VARIABLE)
  const words = argumentsOf(pid)
  if (settings === null) return { daemon: false, watching: words.includes('--watch') }
  return { daemon: true, watching: (JSON.parse(settings) as DaemonSettings).watch }
}
