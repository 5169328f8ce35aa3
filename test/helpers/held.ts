/**
 * What a process of a fleet holds in memory when its garbage is collected. How much garbage there is until then is a
 * matter of how busy the machine is, and no promise.
 */
import { signal } from './faults.ts'
import { until } from './processes.ts'
import type { Project } from './project.ts'

/** For a start file: `heldBytes()`, and at SIGWINCH each of its processes notes that. */
export const HELD = `
import { appendFileSync as appendNote } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
const heldBytes = () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  // what the first one finds in buffers is given back by the second
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
process.on('SIGWINCH', () => appendNote(new URL('held-' + process.pid, import.meta.url), heldBytes() + '\\n'))
`

/** @param pid of the master or a worker, whose start file has `HELD`. */
export async function heldBytesOf(project: Project, pid: number): Promise<number> {
  const notes = (): string[] => project.written(`held-${pid}`).split('\n').slice(0, -1)
  const before = notes().length
  signal(project, pid, 'SIGWINCH')
  await until('it has noted what it holds', () => notes().length > before)
  return Number(notes().at(-1))
}
