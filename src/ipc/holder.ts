/**
 * Who has an address that is taken: a Shiftwork master by its start file, what one has left behind, any
 * other program by name, pid and user. For the sentence that says so. Linux only, best effort: where
 * the process table shows less, it says less. Never throws.
 */

import { readlinkSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import type { Address } from '../address.ts'
import { environOf, valueIn } from '../os/environ.ts'
import { readPidFile } from '../os/pidfile.ts'
import { argumentsOf, isAlive, parentOf, programNameOf, startTimeOf, userOf } from '../os/processes.ts'
import { pidsWith, type SocketRow, socketRows, socketsOf } from '../os/sockets.ts'
import { stateDirAt, stateDirCandidates } from '../os/statedir.ts'
import { userName } from '../os/users.ts'
import { sharesPids } from '../os/viewpoint.ts'
import { IDENTITY_VARIABLE, WORKER_VARIABLE } from '../variables.ts'
import { parseMark } from './mark.ts'

export type Holder =
  | { kind: 'master'; pid: number; startFile: string; stateDir: string }
  /** Its master is gone. */
  | { kind: 'orphan'; pid: number; worker: string; startFile: string; stateDir: string }
  | { kind: 'program'; pid: number; name: string; user: string | null }
  /** Another user's process, which nobody but root may look at. */
  | { kind: 'hidden'; user: string }

/** @returns null when nobody is found. */
export function holderOf(address: Address): Holder | null {
  const rows = rowsAt(address)
  const pids = pidsWith(new Set(rows.map((row) => row.inode)))
  const known = pids.map(shiftworkOf).find((holder) => holder !== null)
  if (known) return known
  // a server of many processes is named by the one that the others come from
  const pid = pids.find((candidate) => !pids.includes(parentOf(candidate) ?? 0))
  if (pid !== undefined) return programOf(pid)
  const uid = rows.find((row) => row.uid !== null)?.uid
  return uid == null ? null : { kind: 'hidden', user: userName(uid) }
}

/** One of these processes listens there. */
export function isHeldBy(address: Address, pids: readonly number[]): boolean {
  const inodes = rowsAt(address).map((row) => row.inode)
  return pids.some((pid) => inodes.some((inode) => socketsOf(pid)?.has(inode)))
}

/** Somebody listens there who is none of these processes. False where that cannot be told. */
export function isHeldByOthers(address: Address, pids: readonly number[]): boolean {
  const theirs = pids.map(socketsOf)
  const users = pids.map(userOf)
  const left = rowsAt(address).filter(({ inode }) => !theirs.some((sockets) => sockets?.has(inode)))
  return left.some(({ inode, uid }) => {
    if (uid !== null && !users.includes(uid)) return true
    return pidsWith(new Set([inode])).some((pid) => !pids.includes(pid))
  })
}

function rowsAt(address: Address): SocketRow[] {
  const rows = socketRows().filter((row) => row.isListening && row.kind === address.kind)
  if (address.kind === 'unix') return rows.filter((row) => row.address === address.path)
  return rows.filter((row) => row.port === address.port && excludes(hostOf(row), address.host))
}

/** `[::1]:8080` → `::1` */
function hostOf({ address }: SocketRow): string {
  return address.slice(0, address.lastIndexOf(':')).replaceAll(/[[\]]/g, '')
}

/** Whether who listens on one host keeps others from the other. A name may stand for any. */
function excludes(one: string, other: string): boolean {
  if (isIP(one) === 0 || isIP(other) === 0) return true
  const [a, b] = [plainHost(one), plainHost(other)]
  if (a === b || a === '::' || b === '::') return true
  return (a === '0.0.0.0' && isIP(b) === 4) || (b === '0.0.0.0' && isIP(a) === 4)
}

/** In one way to write it; an IPv4 address that was mapped into IPv6 as what it is (RFC 4291, 2.5.5.2). */
function plainHost(host: string): string {
  if (isIP(host) === 4 || host.includes('%')) return host
  const short = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(short) ?? []
  if (high === undefined || low === undefined) return short
  const words = [high, low].map((word) => Number.parseInt(word, 16))
  return words.flatMap((word) => [word >> 8, word & 255]).join('.')
}

/** By the mark of a worker, or, where no worker lives, by the pid file that a master has. */
function shiftworkOf(pid: number): Holder | null {
  const environ = environOf(pid)
  // what a worker has started carries its mark, too, and may be any program: another master, for one
  const isWorker = environ !== null && valueIn(environ, IDENTITY_VARIABLE) !== null
  const mark = isWorker ? parseMark(valueIn(environ, WORKER_VARIABLE) ?? '') : null
  if (mark && sharesPids(pid)) {
    const { startFile, stateDir, master, worker } = mark
    if (isAlive(master)) return { kind: 'master', pid: master.pid, startFile, stateDir }
    return { kind: 'orphan', pid, worker: worker ?? 'a process', startFile, stateDir }
  }
  return masterOf(pid)
}

const SCRIPT = /\.[cm]?[jt]s$/

/** One of its arguments is a start file beside whose pid file it stands. */
function masterOf(pid: number): Holder | null {
  const startTime = startTimeOf(pid)
  const cwd = cwdOf(pid)
  if (startTime === null || cwd === null) return null
  for (const argument of argumentsOf(pid).filter((text) => SCRIPT.test(text))) {
    const startFile = resolve(cwd, argument)
    for (const stateDir of stateDirCandidates(startFile)) {
      const holder = readPidFile(stateDirAt(stateDir).pidFile)
      if (holder?.pid === pid && holder.startTime === startTime) return { kind: 'master', pid, startFile, stateDir }
    }
  }
  return null
}

function cwdOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    // gone, or another user's
    return null
  }
}

function programOf(pid: number): Holder | null {
  const uid = userOf(pid)
  return { kind: 'program', pid, name: programNameOf(pid), user: uid === null ? null : userName(uid) }
}

// ---- words ---------------------------------------------------------------------------------------------------------

/** Behind "address already in use by". */
export function holderText(holder: Holder): string {
  switch (holder.kind) {
    case 'master':
      return `the Shiftwork master of ${holder.startFile} (pid ${holder.pid})`
    case 'orphan':
      return `${holder.worker} (pid ${holder.pid}), which a killed Shiftwork master of ${holder.startFile} has left`
    case 'program':
      return `${holder.name}${holder.user === null ? '' : ` of user ${holder.user}`} (pid ${holder.pid})`
    case 'hidden':
      return `a process of user ${holder.user}`
  }
}

/** What to do about it. */
export function holderHint(holder: Holder | null): string {
  if (holder?.kind !== 'master' && holder?.kind !== 'orphan')
    return 'Stop what listens there, or choose another address.'
  const { kind, startFile, stateDir } = holder
  const where = stateDirCandidates(startFile).includes(stateDir) ? '' : ` --state-dir ${stateDir}`
  const force = kind === 'orphan' ? ' --force' : ''
  return `shiftwork stop${force} ${startFile}${where} ends it; or choose another address.`
}
