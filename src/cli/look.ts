/** One look at a master: what it says, or, when it does not answer, what the process table says. */
import { ShiftworkError } from '../errors.ts'
import { blankProcess, type GroupStatus, type ProcessStatus, type Status } from '../ipc/status.ts'
import { childrenOf, isStopped, type ProcessId, rssBytesOf, titleOf } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { ask, findMaster } from './client.ts'
import { OtherVersion } from './otherversion.ts'

export interface Look {
  status: Status
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

/** @throws ShiftworkError as `ask` does. */
export async function fetchStatus(stateDir: StateDir): Promise<Status> {
  const reply = await ask(stateDir, { command: 'status' })
  if (reply.type === 'status') return reply.status
  throw new ShiftworkError('ERR_NO_ANSWER', 'The master answers something else')
}

/** A master that cannot speak: its workers go on, and their titles say who they are. */
function frozenStatus(master: ProcessId): Status {
  const groups = new Map<string, GroupStatus>()
  for (const child of childrenOf(master.pid)) {
    const title = /^shiftwork: (\S+)\/(\d+) g(\d+)/.exec(titleOf(child.pid))
    // a command that runs before a reload, a process that only reads the start file
    if (title?.[1] === undefined) continue
    const [, name] = title
    const group = groups.get(name) ?? emptyGroup(name)
    group.processes.push(processRow(child.pid, Number(title[2]), Number(title[3])))
    group.count = group.processes.length
    groups.set(name, group)
  }
  return {
    version: 1,
    master: {
      pid: master.pid,
      startedAt: '',
      state: 'frozen',
      generation: 0,
      node: '',
      entry: titleOf(master.pid),
      daemon: false,
      watching: false,
      metrics: null,
      rssBytes: rssBytesOf(master.pid),
      warnings: [],
    },
    lastReload: null,
    groups: [...groups.values()],
  }
}

function emptyGroup(name: string): GroupStatus {
  const unknown = { count: 0, reloadable: true, after: [], user: null }
  return { name, listen: [], closed: [], ...unknown, state: 'degraded', processes: [] }
}

function processRow(pid: number, id: number, generation: number): ProcessStatus {
  const state = isStopped(pid) ? 'stopped' : 'serving'
  return { ...blankProcess({ pid, id, generation, state }), rssBytes: rssBytesOf(pid) }
}
