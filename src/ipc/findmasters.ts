/**
 * Looks for masters that live, by the mark that each of their workers carries: those that keep their state in a
 * directory, and those that run a start file, wherever they keep it. Used by the commands that find no master where
 * they look. Linux only, none is found elsewhere; those of other users are not seen, but by root. Never throws.
 */
import { existsSync } from 'node:fs'
import { carriersOf } from '../os/environ.ts'
import { isAlive } from '../os/processes.ts'
import { isSamePlace, sharesPids } from '../os/viewpoint.ts'
import { WORKER_VARIABLE } from '../variables.ts'
import { type Origin, parseMark } from './mark.ts'

export interface Wanted {
  stateDir: string
  /** Null: only who keeps its state in that directory. */
  startFile: string | null
}

/** @returns each once. One that has no worker at the moment is not found. */
export async function findMasters(wanted: Wanted): Promise<Origin[]> {
  const found = new Map<number, Origin>()
  for (const { pid, value } of await carriersOf(WORKER_VARIABLE)) {
    const mark = parseMark(value)
    if (!mark || found.has(mark.master.pid) || !sharesPids(pid) || !isWanted(mark, pid, wanted)) continue
    const { startFile, stateDir, byFile, master } = mark
    if (isAlive(master)) found.set(master.pid, { startFile, stateDir, byFile: byFile === true, master })
  }
  return [...found.values()]
}

function isWanted(mark: Origin, pid: number, { stateDir, startFile }: Wanted): boolean {
  if (isSameOrLost(stateDir, { pid, theirs: mark.stateDir })) return true
  return startFile !== null && isSameOrLost(startFile, { pid, theirs: mark.startFile })
}

/** What was removed is known by its name alone. */
function isSameOrLost(ours: string, other: { pid: number; theirs: string }): boolean {
  return isSamePlace(ours, other) || (ours === other.theirs && !existsSync(ours))
}
