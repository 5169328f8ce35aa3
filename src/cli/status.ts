/** `status`: what the master says, or, when it does not answer, what the process table says. */
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { blankProcess, type GroupStatus, type ProcessStatus, type Status } from '../ipc/status.ts'
import { childrenOf, isStopped, type ProcessId, rssBytesOf, titleOf } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { ask, findMaster } from './client.ts'
import type { CommandLine } from './parse.ts'
import { statusLines } from './render.ts'
import { paintFor, printError, printJson, printLine } from './terminal.ts'

export async function status(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  try {
    show(await fetchStatus(stateDir), line.json)
    return EXIT.done
  } catch (error) {
    const master = isNoAnswer(error) ? findMaster(stateDir) : null
    if (!master) throw error
    show(frozenStatus(master), line.json)
    return line.json ? EXIT.noAnswer : printError(error, false)
  }
}

function isNoAnswer(error: unknown): boolean {
  return error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER'
}

/** @throws ShiftworkError as `ask` does. */
export async function fetchStatus(stateDir: StateDir): Promise<Status> {
  const reply = await ask(stateDir, { command: 'status' })
  if (reply.type === 'status') return reply.status
  throw new ShiftworkError('ERR_NO_ANSWER', 'The master answers something else')
}

function show(status: Status, json: boolean): void {
  if (json) printJson(status)
  else for (const text of statusLines(status, Date.now(), paintFor(process.stdout))) printLine(text)
}

/** A master that cannot speak: its workers go on, and their titles say who they are. */
function frozenStatus(master: ProcessId): Status {
  const groups = new Map<string, GroupStatus>()
  for (const child of childrenOf(master.pid)) {
    const title = /^shiftwork: (\S+)\/(\d+) g(\d+)/.exec(titleOf(child.pid))
    const name = title?.[1] ?? 'unknown'
    const group = groups.get(name) ?? emptyGroup(name)
    group.processes.push(processRow(child.pid, Number(title?.[2] ?? 0), Number(title?.[3] ?? 0)))
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
      rssBytes: rssBytesOf(master.pid),
      metrics: null,
      warnings: [],
    },
    lastReload: null,
    groups: [...groups.values()],
  }
}

function emptyGroup(name: string): GroupStatus {
  return { name, listen: [], count: 0, reloadable: true, after: [], user: null, state: 'degraded', processes: [] }
}

function processRow(pid: number, id: number, generation: number): ProcessStatus {
  const state = isStopped(pid) ? 'stopped' : 'serving'
  return { ...blankProcess({ pid, id, generation, state }), rssBytes: rssBytesOf(pid) }
}
