/** One look at a master: what it says, or, when it does not answer, what the process table says. */
import { ShiftworkError } from '../errors.ts'
import { blankProcess, type SeenGroup, type SeenProcess, type SeenStatus, type Status } from '../ipc/status.ts'
import { childrenOf, isStopped, type ProcessId, rssBytesOf, startedAtOf, titleOf } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { ask, askPatiently, findMaster } from './client.ts'
import { OtherVersion } from './otherversion.ts'

export interface Look {
  status: SeenStatus
  /** Why it does not answer: the status is the process table's then. */
  problem: ShiftworkError | null
}

/** @throws ShiftworkError as `ask` does, but not for a master that lives and does not answer. */
export async function lookAt(stateDir: StateDir): Promise<Look> {
  try {
    return { status: await fetchStatus(stateDir), problem: null }
  } catch (error) {
    const isSilent = error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER'
    // one of another version is well
    if (!isSilent || error instanceof OtherVersion) throw error
    const master = findMaster(stateDir)
    if (!master) throw error
    return { status: frozenStatus(master), problem: error }
  }
}

/**
 * @param isPatient it is asked for the sake of what is to be changed, and may be as late as that.
 * @throws ShiftworkError as `ask` does.
 */
export async function fetchStatus(stateDir: StateDir, { isPatient = false } = {}): Promise<Status> {
  const reply = await (isPatient ? askPatiently : ask)(stateDir, { command: 'status' })
  if (reply.type === 'status') return reply.status
  throw new ShiftworkError('ERR_NO_ANSWER', 'The master answers something else')
}

/** A master that cannot speak: its workers go on, and their titles say who they are. */
function frozenStatus(master: ProcessId): SeenStatus {
  const groups = new Map<string, SeenGroup>()
  for (const child of childrenOf(master.pid)) {
    const title = /^shiftwork: (\S+)\/(\d+) g(\d+)/.exec(titleOf(child.pid))
    // a command that runs before a reload, a process that only reads the start file
    if (title?.[1] === undefined) continue
    const [, name] = title
    const group = groups.get(name) ?? emptyGroup(name)
    group.processes.push(processRow(child, Number(title[2]), Number(title[3])))
    groups.set(name, group)
  }
  return {
    version: 1,
    master: {
      pid: master.pid,
      startedAt: startedAtOf(master)?.toISOString() ?? null,
      state: 'frozen',
      generation: null,
      node: null,
      entry: titleOf(master.pid),
      daemon: null,
      watching: null,
      metrics: null,
      logsOpenedAt: null,
      rssBytes: rssBytesOf(master.pid),
      warnings: [],
    },
    lastReload: null,
    groups: [...groups.values()],
  }
}

/** Its titles say its name; what it ought to be is in the master. */
function emptyGroup(name: string): SeenGroup {
  const unknown = { listen: null, closed: null, count: null, reloadable: null, after: null, user: null, state: null }
  return { name, ...unknown, processes: [] }
}

/** A title says the place, not whether it has come to serve, or leaves. */
function processRow(process: ProcessId, id: number, generation: number): SeenProcess {
  const { pid } = process
  return {
    ...blankProcess({ pid, id, generation, state: 'stopped' }),
    state: isStopped(pid) ? 'stopped' : null,
    leader: null,
    restarts: null,
    startedAt: startedAtOf(process)?.toISOString() ?? null,
    rssBytes: rssBytesOf(pid),
  }
}
