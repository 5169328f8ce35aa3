/**
 * `master.pid`: one line, the pid and the start time of the master. It is the lock of a state
 * directory: who holds it and lives is the master. Taken with link(2), which cannot overwrite. A
 * stale one is replaced with rename(2), which can: only by who holds a guard, a lock of the same kind.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import { isAlive, type ProcessId, startTimeOf } from './processes.ts'

/** Another is replacing a stale file; it takes no longer than a few system calls. */
const BUSY_TIMEOUT_MS = 1_000
const RETRY_MS = 5

/**
 * Takes the lock for this process.
 * @returns null when taken, or the living process that holds it.
 */
export async function takePidFile(path: string): Promise<ProcessId | null> {
  const own = ownId()
  if (own.startTime === '') throw withoutTable(path)
  const giveUpAt = performance.now() + BUSY_TIMEOUT_MS
  for (;;) {
    const holder = tryTake(path, own)
    if (holder !== 'busy') return holder
    if (performance.now() >= giveUpAt)
      throw new ShiftworkError('ERR_STATE_DIR', `Cannot take ${path}: another process is about to`, {
        hint: `If none is, remove ${guardOf(path)}.`,
      })
    await delay(RETRY_MS)
  }
}

/** Whoever came next could not tell that we live, and would take the lock, too. */
function withoutTable(path: string): ShiftworkError {
  return new ShiftworkError('ERR_PLATFORM', `Cannot take ${path}: the process table cannot be read`, {
    hint: process.platform === 'linux' ? 'Mount /proc: mount -t proc proc /proc.' : 'It is read with the command ps.',
  })
}

/** Without a pause between its steps, so that a guard is never held for long. */
function tryTake(path: string, own: ProcessId): ProcessId | null | 'busy' {
  if (create(path, own)) return null
  const holder = readPidFile(path)
  if (holder && isAlive(holder)) return isSameProcess(holder, own) ? null : holder
  if (tryTake(guardOf(path), own) !== null) return 'busy'
  try {
    // read again: it may have been replaced, or removed, since it was found stale
    const text = readText(path)
    const latest = parse(text ?? '')
    if (text === null || (latest && isAlive(latest))) return 'busy'
    replace(path, own)
    return null
  } finally {
    rmSync(guardOf(path), { force: true })
  }
}

function guardOf(path: string): string {
  return `${path}.guard`
}

/** Links where nothing is. False: something is. */
function create(path: string, own: ProcessId): boolean {
  return withOwnFile(path, own, (mine) => {
    try {
      linkSync(mine, path)
      return true
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      return false
    }
  })
}

function replace(path: string, own: ProcessId): void {
  withOwnFile(path, own, (mine) => {
    try {
      renameSync(mine, path)
    } catch (error) {
      if (systemCode(error) !== 'EISDIR') throw error
      throw new ShiftworkError('ERR_STATE_DIR', `${path} is a directory`, { hint: 'Remove it, then start again.' })
    }
  })
}

/** With a file beside it that names us, and that is gone afterwards, whatever happens. */
function withOwnFile<Value>(path: string, own: ProcessId, use: (mine: string) => Value): Value {
  const mine = `${path}.${own.pid}`
  try {
    writeFileSync(mine, format(own), { mode: 0o644 })
    return use(mine)
  } catch (error) {
    throw error instanceof ShiftworkError ? error : cannotTake(path, error)
  } finally {
    rmSync(mine, { force: true })
  }
}

const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT'])

/** A full disk, or a file system without hard links: some of the network, and of other systems. */
function cannotTake(path: string, cause: unknown): ShiftworkError {
  const code = systemCode(cause)
  const remedy = FULL.has(code) ? 'Make room on its disk, or choose' : 'Choose'
  return new ShiftworkError('ERR_STATE_DIR', `Cannot take ${path}: ${code ?? String(cause)}`, {
    hint: `${remedy} a directory on a local file system with --state-dir, or Worker.runAll({ stateDir }).`,
    cause,
  })
}

/** Who the file names, alive or not; null when it is missing, unreadable or garbage. */
export function readPidFile(path: string): ProcessId | null {
  return parse(readText(path) ?? '')
}

/** Null when there is no file; empty when it cannot be read. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? null : ''
  }
}

function parse(text: string): ProcessId | null {
  const match = /^(\d{1,10}) (\S.*)\n?$/.exec(text)
  return match ? { pid: Number(match[1]), startTime: match[2] ?? '' } : null
}

/** It names this process. */
export function isOwnPidFile(path: string): boolean {
  const holder = readPidFile(path)
  return holder !== null && isSameProcess(holder, ownId())
}

/** Removes the file if it still names this process. */
export function releasePidFile(path: string): void {
  if (isOwnPidFile(path)) rmSync(path, { force: true })
}

function ownId(): ProcessId {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }
}

/** Not another one of the same pid. */
export function isSameProcess(a: ProcessId, b: ProcessId): boolean {
  return a.pid === b.pid && a.startTime === b.startTime
}

function format(id: ProcessId): string {
  return `${id.pid} ${id.startTime}\n`
}

/** What a second start is told. */
export function alreadyRunning(holder: ProcessId): ShiftworkError {
  return new ShiftworkError('ERR_ALREADY_RUNNING', `Already running, as pid ${holder.pid}`, {
    hint: 'Use reload to load new code, or restart to begin anew.',
  })
}
