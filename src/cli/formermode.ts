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
}

/** @throws ShiftworkError as `ask` does, but for one that is to be ended though it cannot be asked. */
export async function formerMode(stateDir: StateDir, master: ProcessId, how: { force: boolean }): Promise<Mode> {
  try {
    const { master, groups } = await fetchStatus(stateDir)
    const texts = [...groups.flatMap(({ listen }) => listen), master.metrics ?? []].flat()
    return { daemon: master.daemon, watching: master.watching, addresses: texts.flatMap(addressOf) }
  } catch (error) {
    const code = error instanceof ShiftworkError ? error.code : null
    // it has ended by itself since it was looked for
    if (code === 'ERR_NOT_RUNNING') return { daemon: false, watching: false, addresses: [] }
    const isToEnd = error instanceof OtherVersion || (code === 'ERR_NO_ANSWER' && how.force)
    if (!isToEnd) throw error
    return { ...modeShownBy(master), addresses: [] }
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
export function modeShownBy({ pid }: ProcessId): Omit<Mode, 'addresses'> {
  const environ = environOf(pid)
  const settings = environ && valueIn(environ, DAEMON_VARIABLE)
  const words = argumentsOf(pid)
  if (settings === null) return { daemon: false, watching: words.includes('--watch') }
  return { daemon: true, watching: (JSON.parse(settings) as DaemonSettings).watch }
}
