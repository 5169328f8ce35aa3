/**
 * The mark that every worker process carries in its environment, and that what it starts inherits:
 * whose worker it is. The master sets it at the fork and reads it in the process table when the worker
 * is gone, to end what the worker has left behind; a start reads it to tell who is still there of a
 * master that was killed.
 */
import type { ProcessId } from '../os/processes.ts'

/** Whose processes they are. */
export interface Origin {
  startFile: string
  stateDir: string
  /** The start file has chosen that directory, and always does; not who typed the start. */
  byFile?: boolean
  master: ProcessId
}

export interface WorkerMark extends Origin {
  /** The slot, `web/0`; null: the process only reads the start file. */
  worker: string | null
  /** Of the child in its master: no two processes have the same mark. */
  key: number
}

export function formatMark({ startFile, stateDir, byFile, master, worker, key }: WorkerMark): string {
  return JSON.stringify({ startFile, stateDir, byFile, master, worker, key })
}

/** Null: it is none, or one of a version that this one does not know. */
export function parseMark(text: string): WorkerMark | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // anybody may set the variable to anything
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { startFile, stateDir, byFile, master, worker, key } = value as Record<string, unknown>
  const isWhole = typeof startFile === 'string' && typeof stateDir === 'string' && typeof key === 'number'
  const id = parseId(master)
  if (!isWhole || !id || (worker !== null && typeof worker !== 'string')) return null
  return { startFile, stateDir, byFile: byFile === true, master: id, worker, key }
}

function parseId(value: unknown): ProcessId | null {
  if (typeof value !== 'object' || value === null) return null
  const { pid, startTime } = value as Record<string, unknown>
  return typeof pid === 'number' && typeof startTime === 'string' ? { pid, startTime } : null
}
