/**
 * `master.pid`: one line, the pid and the start time of the master. It is the lock of a state
 * directory: who holds it and lives is the master. Taken with link(2), which cannot overwrite; a
 * stale one is replaced with rename(2) and read again, since two may find it stale at once.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import { isAlive, type ProcessId, startTimeOf } from './processes.ts'

/** Between taking over a stale file and believing it: longer than another's read and rename. */
const VERIFY_MS = 5
const ATTEMPTS = 5

/**
 * Takes the lock for this process.
 * @returns null when taken, or the living process that holds it.
 */
export async function takePidFile(path: string): Promise<ProcessId | null> {
  const own = ownId()
  const mine = `${path}.${own.pid}`
  writeFileSync(mine, format(own), { mode: 0o644 })
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const holder = readPidFile(path)
      if (holder && isAlive(holder)) return isSame(holder, own) ? null : holder
      if (!claim(mine, path)) continue
      await delay(VERIFY_MS)
      const verified = readPidFile(path)
      if (verified && isSame(verified, own)) return null
      writeFileSync(mine, format(own), { mode: 0o644 })
    }
    return readPidFile(path)
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Links where nothing is, replaces what is stale. False: somebody else was first. */
function claim(mine: string, path: string): boolean {
  try {
    linkSync(mine, path)
    return true
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
  const holder = readPidFile(path)
  if (holder && isAlive(holder)) return false
  try {
    renameSync(mine, path)
    return true
  } catch (error) {
    if (systemCode(error) === 'EISDIR')
      throw new ShiftworkError('ERR_STATE_DIR', `${path} is a directory`, { hint: 'Remove it, then start again.' })
    throw error
  }
}

/** Who the file names, alive or not; null when it is missing, unreadable or garbage. */
export function readPidFile(path: string): ProcessId | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // no file, or none of ours
    return null
  }
  const match = /^(\d{1,10}) (\S.*)\n?$/.exec(text)
  return match ? { pid: Number(match[1]), startTime: match[2] ?? '' } : null
}

/** Removes the file if it still names this process. */
export function releasePidFile(path: string): void {
  const holder = readPidFile(path)
  if (holder && isSame(holder, ownId())) rmSync(path, { force: true })
}

function ownId(): ProcessId {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }
}

function isSame(a: ProcessId, b: ProcessId): boolean {
  return a.pid === b.pid && a.startTime === b.startTime
}

function format(id: ProcessId): string {
  return `${id.pid} ${id.startTime}\n`
}
