/**
 * Whether another process means the same as this one by a pid and by a path: one in a container has a
 * process table and a file system of its own, and what it wrote down is true there. Linux only.
 */
import { readlinkSync, statSync } from 'node:fs'

/** Names the process table that this process is in, on this machine; null where there is but one. */
export function ownTable(): string | null {
  return namespaceOf('self')?.replace(/\D/g, '') ?? null
}

/** It is in the same process table (pid_namespaces(7)). */
export function sharesPids(pid: number): boolean {
  const own = namespaceOf('self')
  return own === null || own === namespaceOf(String(pid))
}

function namespaceOf(process: string): string | null {
  try {
    return readlinkSync(`/proc/${process}/ns/pid`)
  } catch {
    // hidden, gone, or a kernel without them
    return null
  }
}

/** What it calls `theirs` is the very directory or file that is `ours` here, whatever either path is. */
export function isSamePlace(ours: string, { pid, theirs }: { pid: number; theirs: string }): boolean {
  try {
    const [here, there] = [statSync(ours), statSync(`/proc/${pid}/root${theirs}`)]
    return here.dev === there.dev && here.ino === there.ino
  } catch {
    // one of them is not there, or hidden
    return false
  }
}
