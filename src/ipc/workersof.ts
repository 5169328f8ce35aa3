/**
 * The workers of a master that lives, as the process table shows them: its children that carry its mark, those
 * that only read the start file among them. What else it has started (a build before a reload, what the start file's own
 * code starts) is none; where that cannot be told all are. Used by `stop`.
 */

import { environOf, valueIn } from '../os/environ.ts'
import { childrenOf, type ProcessId } from '../os/processes.ts'
import { WORKER_VARIABLE } from '../variables.ts'
import { parseMark } from './mark.ts'

export function workersOf(master: ProcessId): ProcessId[] {
  return childrenOf(master.pid).filter(({ pid }) => isOf(master, pid))
}

function isOf(master: ProcessId, pid: number): boolean {
  const environ = environOf(pid)
  // not ours to see, or not Linux: as far as can be told it is one
  if (environ === null) return true
  const mark = parseMark(valueIn(environ, WORKER_VARIABLE) ?? '')
  return mark?.master.pid === master.pid && mark.master.startTime === master.startTime
}
