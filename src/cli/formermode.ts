/** How the master that is to be restarted was started: as it says, or as the process table shows. For `restart`. */
import { type Address, parseAddress } from '../address.ts'
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
  /** Where it listens; none where it cannot be asked. */
  addresses: Address[]
  /** In ms since 1970, NaN where it cannot be asked. */
  startedAt: number
}

/** @throws ShiftworkError as `ask` does, but for one that is to be ended though it cannot be asked. */
export async function formerMode(stateDir: StateDir, master: ProcessId, how: { force: boolean }): Promise<Mode> {
  // while it is there
  const shown = modeShownBy(master)
  try {
    const { master: told, groups } = await fetchStatus(stateDir, { isPatient: true })
    const texts = [...groups.flatMap(({ listen }) => listen), told.metrics ?? []].flat()
    const { daemon, watching, startedAt } = told
    return { daemon, watching, addresses: texts.flatMap(addressOf), startedAt: Date.parse(startedAt) }
  } catch (error) {
    const code = error instanceof ShiftworkError ? error.code : null
    // one that has ended since it was looked for, by another restart for instance, is gone without having been asked
    const isToEnd = error instanceof OtherVersion || (code === 'ERR_NO_ANSWER' && how.force)
    if (!isToEnd && code !== 'ERR_NOT_RUNNING') throw error
    return { ...shown, addresses: [], startedAt: Number.NaN }
  }
}

/** None for what this version does not know. */
function addressOf(text: string): Address[] {
  try {
    return [parseAddress(text)]
  } catch {
    // a master of a later version may speak protocols that this one does not
    return []
  }
}

/** A daemon began with what its launcher handed to it. Elsewhere than on Linux nothing is shown. */
export function modeShownBy({ pid }: ProcessId): Pick<Mode, 'daemon' | 'watching'> {
  const environ = environOf(pid)
  const settings = environ && valueIn(environ, DAEMON_VARIABLE)
  const words = argumentsOf(pid)
  if (settings === null) return { daemon: false, watching: words.includes('--watch') }
  return { daemon: true, watching: (JSON.parse(settings) as DaemonSettings).watch }
}
