/**
 * What befalls processes: killed, frozen. Only ever what this project has started: a pid
 * that is somebody else's by now is an error, one that has just gone by itself is none. Each waits until
 * the process table says so.
 */
import { isBare, isOurs, readRow, until } from './processes.ts'
import type { Project } from './project.ts'

/** Longer than a process is without an environment while it begins, or ends. */
const BARE_TIMEOUT_MS = 10_000
const BARE_LOOK_MS = 5

/** @returns false when it had gone by itself. @throws Error for a process that is not the project's, and for none. */
export function signal(project: Project, pid: number, name: NodeJS.Signals): boolean {
  if (pid <= 0) throw new Error(`${name} for pid ${pid}: the process was not there`)
  waitWhileBare(pid)
  if (!readRow(pid)) return false
  if (!isOurs(pid, project.mark)) {
    if (!readRow(pid)) return false
    throw new Error(`pid ${pid} is not of this project: ${readRow(pid)?.title}`)
  }
  try {
    process.kill(pid, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Until then nobody can tell whose it is. At once, and nothing else meanwhile: what is signalled is meant as it is now. */
function waitWhileBare(pid: number): void {
  const giveUpAt = Date.now() + BARE_TIMEOUT_MS
  while (readRow(pid) && isBare(pid) && Date.now() < giveUpAt)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BARE_LOOK_MS)
}

/** SIGKILL to all of them at once. @returns how many were still there to be killed. */
export async function kill(project: Project, ...pids: number[]): Promise<number> {
  const killed = pids.filter((pid) => signal(project, pid, 'SIGKILL'))
  await gone(...pids)
  return killed.length
}

export async function gone(...pids: number[]): Promise<void> {
  await until(`${pids.join(', ')} are gone`, () => pids.every((pid) => !readRow(pid)))
}

/** SIGSTOP. */
export async function freeze(project: Project, pid: number): Promise<void> {
  signal(project, pid, 'SIGSTOP')
  await until(`${pid} is frozen`, () => (readRow(pid)?.state ?? 'T') === 'T')
}

/** SIGCONT. */
export async function thaw(project: Project, pid: number): Promise<void> {
  signal(project, pid, 'SIGCONT')
  await until(`${pid} goes on`, () => readRow(pid)?.state !== 'T')
}
