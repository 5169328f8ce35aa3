/**
 * `master.pid`: the pid of the master, its start time, and the process table that the pid is in. It is the
 * lock of a state directory: who holds it and lives is the master. Taken with link(2), which cannot overwrite.
 * A stale one is replaced with rename(2), which can: only by who holds a guard, a lock of the same kind.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import { isAlive, type ProcessId, startTimeOf } from './processes.ts'
import { ownTable } from './viewpoint.ts'

/** Another is replacing a stale file; it takes no longer than a few system calls. */
const BUSY_TIMEOUT_MS = 1_000
const RETRY_MS = 5

/** Who a pid file names. */
export interface Named extends ProcessId {
  /** The process table in which the pid means anything; null: unknown, it is taken for ours. */
  table: string | null
}

/** Who has a lock: a process, or one that answers and that our process table does not show (in another container). */
export type Holder = ProcessId | 'unseen'

/** Whether one that the process table does not show lives all the same. */
export type Answers = (named: Named) => Promise<boolean>

/**
 * Takes the lock for this process.
 * @param answers without it who is not in our process table is dead.
 * @returns null when taken, or the living process that holds it.
 */
export async function takePidFile(path: string, answers: Answers = async () => false): Promise<Holder | null> {
  const own = ownName()
  if (own.startTime === '') throw withoutTable(path)
  const giveUpAt = performance.now() + BUSY_TIMEOUT_MS
  for (;;) {
    const holder = await tryTake(path, { own, answers })
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

interface Taker {
  own: Named
  answers: Answers
}

async function tryTake(path: string, taker: Taker): Promise<Holder | null | 'busy'> {
  const { own, answers } = taker
  if (create(path, own)) return null
  const text = readText(path)
  if (text === null) return 'busy'
  const named = parse(text)
  if (named && isSameName(named, own)) return null
  if (named && isSeen(named)) return { pid: named.pid, startTime: named.startTime }
  if (named && (await answers(named))) return 'unseen'
  if ((await tryTake(guardOf(path), taker)) !== null) return 'busy'
  // no pause from here on: a guard is never held for long
  try {
    // it may have been replaced, or removed, since it was found stale
    if (readText(path) !== text) return 'busy'
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
function create(path: string, own: Named): boolean {
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

function replace(path: string, own: Named): void {
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
function withOwnFile<Value>(path: string, own: Named, use: (mine: string) => Value): Value {
  const mine = `${path}.${uniqueName(own)}`
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
export function readPidFile(path: string): Named | null {
  return parse(readText(path) ?? '')
}

/** Who the file names, if our process table shows that one; null for any other. */
export function livingHolder(path: string): ProcessId | null {
  const named = readPidFile(path)
  return named && isSeen(named) ? { pid: named.pid, startTime: named.startTime } : null
}

/** A pid of another table may be anybody's in ours. */
function isSeen(named: Named): boolean {
  const own = ownTable()
  return (named.table === null || own === null || named.table === own) && isAlive(named)
}

/** Null when there is no file; empty when it cannot be read. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? null : ''
  }
}

/** Not numbers alone but in the first line: `kill $(cat master.pid)` must hit nobody else. */
const FORM = /^(\d{1,10})\nstarted=(\S.*)\n(?:table=(\d+)\n)?$/
/** One line, as it was at first: such a master may still run. */
const FORMER_FORM = /^(\d{1,10}) (\S.*)\n?$/

function parse(text: string): Named | null {
  const [, pid, startTime, table = null] = FORM.exec(text) ?? FORMER_FORM.exec(text) ?? []
  return pid === undefined || startTime === undefined ? null : { pid: Number(pid), startTime, table }
}

function format({ pid, startTime, table }: Named): string {
  return `${pid}\nstarted=${startTime}\n${table === null ? '' : `table=${table}\n`}`
}

/** It names this process. */
export function isOwnPidFile(path: string): boolean {
  const named = readPidFile(path)
  return named !== null && isSameName(named, ownName())
}

/** Removes the file if it still names this process. */
export function releasePidFile(path: string): void {
  if (isOwnPidFile(path)) rmSync(path, { force: true })
}

/** What a pid file says of this process. */
export function ownName(): Named {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', table: ownTable() }
}

/** For the name of a file: no two processes that live on a machine have the same. */
export function uniqueName({ pid, table }: Named): string {
  return table === null ? `${pid}` : `${pid}-${table}`
}

/** Not another one of the same pid. */
export function isSameProcess(a: ProcessId, b: ProcessId): boolean {
  return a.pid === b.pid && a.startTime === b.startTime
}

function isSameName(a: Named, b: Named): boolean {
  return isSameProcess(a, b) && (a.table === null || b.table === null || a.table === b.table)
}

/** What a second start is told. */
export function alreadyRunning(holder: ProcessId): ShiftworkError {
  return new ShiftworkError('ERR_ALREADY_RUNNING', `Already running, as pid ${holder.pid}`, {
    hint: 'Use reload to load new code, or restart to begin anew.',
  })
}
