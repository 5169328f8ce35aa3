/**
 * What befalls processes: killed, frozen. Only ever what this project has started: a pid
 * that is somebody else's by now is an error, one that has just gone by itself is none. Each waits until
 * the process table says so.
 */
import { isOurs, readRow, until } from './processes.ts'
import type { Project } from './project.ts'

/** @returns false when it had gone by itself. @throws Error for a process that is not the project's, and for none. */
export function signal(project: Project, pid: number, name: NodeJS.Signals): boolean {
  if (pid <= 0) throw new Error(`${name} for pid ${pid}: the process was not there`)
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
