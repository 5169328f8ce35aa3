/**
 * The process table: who lives, since when, whose child it is, what it uses. Read from `/proc` on
 * Linux (proc(5)) and by `ps` elsewhere. A pid alone means nothing, pids are reused: every process
 * that outlives the call is named by pid and start time.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** A process for as long as it lives; `startTime` is opaque text that only ever equals itself. */
export interface ProcessId {
  pid: number
  startTime: string
}

interface Row {
  pid: number
  ppid: number
  /** The process group, named by the pid of its leader. */
  group: number
  /** One letter as in ps(1): `T` is stopped, `Z` a zombie. */
  state: string
  startTime: string
  cpuMs: number
}

/** Linux counts processor time in ticks of 1/100 s on every architecture that Node.js supports. */
const MS_PER_TICK = 10
const PAGE_BYTES = 4096
const hasProc = process.platform === 'linux'

/** The process's start time, or null when there is none (a zombie is none). */
export function startTimeOf(pid: number): string | null {
  const row = readRow(pid)
  return row && row.state !== 'Z' ? row.startTime : null
}

export function isAlive(id: ProcessId): boolean {
  return startTimeOf(id.pid) === id.startTime
}

/** True for a process that was stopped by a signal or a debugger. */
export function isStopped(pid: number): boolean {
  const state = readRow(pid)?.state
  return state === 'T' || state === 't'
}

/** As `isStopped`, but true as well where the process table cannot be read, for want of a descriptor. */
export function mayBeStopped(pid: number): boolean {
  return readRow(pid) === null || isStopped(pid)
}

/** The living children of a process. */
export function childrenOf(pid: number): ProcessId[] {
  return readAllRows()
    .filter((row) => row.ppid === pid && row.state !== 'Z')
    .map((row) => ({ pid: row.pid, startTime: row.startTime }))
}

/** The living members of a process group. A zombie is none: it stays in it until its parent looks, if that ever does. */
export function membersOf(group: number): ProcessId[] {
  return readAllRows()
    .filter((row) => row.group === group && row.state !== 'Z')
    .map((row) => ({ pid: row.pid, startTime: row.startTime }))
}

/** Its parent, or null when it is gone. */
export function parentOf(pid: number): number | null {
  return readRow(pid)?.ppid ?? null
}

/** The moment it started, null where that cannot be told: by the ticks since the machine was up. Linux only. */
export function startedAtOf({ startTime }: ProcessId): Date | null {
  const upSeconds = hasProc ? Number.parseFloat(readOrNull('/proc/uptime') ?? '') : Number.NaN
  const ageMs = upSeconds * 1000 - Number(startTime) * MS_PER_TICK
  return ageMs >= 0 ? new Date(Date.now() - ageMs) : null
}

/** What the process calls itself: its title or its command line; empty when it is gone. */
export function titleOf(pid: number): string {
  if (!hasProc) return ''
  return (readOrNull(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim()
}

/** The name of its program; empty when it is gone. What a process calls itself may be anything (`MainThread`). */
export function programNameOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '')
  } catch {
    // another user's, or one of the kernel's own
    return (readOrNull(`/proc/${pid}/comm`) ?? '').trim()
  }
}

/** The words that it was started with; none when it is gone. */
export function argumentsOf(pid: number): string[] {
  return (readOrNull(`/proc/${pid}/cmdline`) ?? '').split('\0').filter((word) => word !== '')
}

/** Whose it is, or null when it is gone, or on another platform. */
export function userOf(pid: number): number | null {
  const uid = /^Uid:\s+(\d+)/m.exec(readOrNull(`/proc/${pid}/status`) ?? '')?.[1]
  return uid === undefined ? null : Number(uid)
}

/** Resident memory in bytes, null when it cannot be read. */
export function rssBytesOf(pid: number): number | null {
  if (!hasProc) return null
  const pages = readOrNull(`/proc/${pid}/statm`)?.split(' ')[1]
  return pages === undefined ? null : Number(pages) * PAGE_BYTES
}

/** Of this process, in bytes; null when it cannot be read: the kernel tells it in a file, and there may be no descriptor left. */
export function ownRssBytes(): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    // as said
    return null
  }
}

/** Processor time used so far, user and system, in milliseconds. */
export function cpuMsOf(pid: number): number | null {
  return readRow(pid)?.cpuMs ?? null
}

/** Sends a signal if this very process still lives; false when it does not. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false
  try {
    return process.kill(id.pid, name)
  } catch {
    // it went between the look and the signal
    return false
  }
}

/** Waits until the process is gone. @returns false when it still lives after `timeoutMs`. */
export async function waitUntilGone(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + timeoutMs
  while (isAlive(id)) {
    if (performance.now() >= giveUpAt) return false
    await delay(10)
  }
  return true
}

/** Of every process that is there, in ascending order. Linux only: none elsewhere. */
export function allPids(): number[] {
  try {
    const names = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return names.map(Number).sort((one, other) => one - other)
  } catch {
    // not Linux, or a place without /proc
    return []
  }
}

function readRow(pid: number): Row | null {
  if (!hasProc) return readPs(['-p', String(pid)])[0] ?? null
  const stat = readOrNull(`/proc/${pid}/stat`)
  return stat === null ? null : parseStat(pid, stat)
}

function readAllRows(): Row[] {
  if (!hasProc) return readPs(['-A'])
  return allPids()
    .map(readRow)
    .filter((row) => row !== null)
}

/** The second field is the command in brackets and may hold blanks and brackets: count from the last one. */
function parseStat(pid: number, stat: string): Row {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): string => fields[number - 3] ?? ''
  return {
    pid,
    ppid: Number(field(4)),
    group: Number(field(5)),
    state: field(3),
    startTime: field(22),
    cpuMs: (Number(field(14)) + Number(field(15))) * MS_PER_TICK,
  }
}

function readPs(selection: string[]): Row[] {
  // the start time is told in words, which must be the same for every caller
  const env = { ...process.env, TZ: 'UTC', LC_ALL: 'C' }
  let table: string
  try {
    table = execFileSync('ps', [...selection, '-o', 'pid=,ppid=,pgid=,stat=,lstart='], { encoding: 'utf8', env })
  } catch {
    // ps exits 1 when nothing matches
    return []
  }
  return table
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S)\S*\s+(.+?)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, ppid, group, state = '', startTime = '']) => ({
      pid: Number(pid),
      ppid: Number(ppid),
      group: Number(group),
      state,
      startTime,
      cpuMs: 0,
    }))
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // gone, or another user's
    return null
  }
}
