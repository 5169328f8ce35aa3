/**
 * The environments that processes began with, as `/proc/PID/environ` shows them (proc(5)): who carries
 * a variable. Linux only, nobody is found elsewhere; another user's processes are not seen, but by root.
 * Read in slices, so that a long process table does not hold up whoever looks.
 */
import { readFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { allPids, type ProcessId, startTimeOf } from './processes.ts'

/** A process that carries the variable. A pid alone: see `verify`. */
export interface Carrier {
  pid: number
  value: string
  /** Bytes: names and values of others may be of any encoding. */
  environ: Buffer
}

/** How long the event loop is kept at a stretch. */
const SLICE_MS = 4

/** The value of a variable, or null. A name that stands twice: the first, as getenv(3) has it. */
export function valueIn(environ: Buffer, name: string): string | null {
  const wanted = Buffer.from(`${name}=`)
  const isFirst = environ.subarray(0, wanted.length).equals(wanted)
  const before = isFirst ? 0 : environ.indexOf(`\0${name}=`)
  if (before < 0) return null
  const from = (isFirst ? 0 : before + 1) + wanted.length
  const end = environ.indexOf(0, from)
  return environ.toString('utf8', from, end < 0 ? environ.length : end)
}

/** Everybody but this process that carries the variable. */
export async function carriersOf(name: string): Promise<Carrier[]> {
  const carriers: Carrier[] = []
  let pauseAt = performance.now() + SLICE_MS
  for (const pid of allPids()) {
    if (performance.now() >= pauseAt) {
      await nextTurn()
      pauseAt = performance.now() + SLICE_MS
    }
    const environ = pid === process.pid ? null : environOf(pid)
    const value = environ && valueIn(environ, name)
    if (environ && value !== null) carriers.push({ pid, value, environ })
  }
  return carriers
}

/** The carrier as a process that can be waited for and sent signals; null when it is gone, or another one. */
export function verify({ pid, environ }: Carrier): ProcessId | null {
  const startTime = startTimeOf(pid)
  // the same environment behind the start time as before it: it is of the same process
  return startTime !== null && environOf(pid)?.equals(environ) === true ? { pid, startTime } : null
}

/** The environment of a process, or null: gone, hidden, or one of the kernel's own. */
export function environOf(pid: number): Buffer | null {
  try {
    return readFileSync(`/proc/${pid}/environ`)
  } catch {
    // gone, or another user's
    return null
  }
}
