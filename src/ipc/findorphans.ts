/**
 * Looks for orphans in the process table, by the mark that each worker and what it starts carries, and
 * by what its sockets are. Used by the commands that find no master, and by a master that starts.
 * Linux only, none is found elsewhere; those of other users are not seen, but by root. Never throws.
 */

import { type Carrier, carriersOf, valueIn, verify } from '../os/environ.ts'
import { isAlive, isStopped, type ProcessId, parentOf, startedAtOf, titleOf } from '../os/processes.ts'
import { type SocketRow, socketRows, socketsOf } from '../os/sockets.ts'
import { isSamePlace, sharesPids } from '../os/viewpoint.ts'
import { IDENTITY_VARIABLE, WORKER_VARIABLE } from '../variables.ts'
import { parseMark } from './mark.ts'
import { type Orphan, orphanKind } from './orphan.ts'

/** @param stateDir of the masters that are gone. @returns workers by their names, then what they had started. */
export async function findOrphans(stateDir: string): Promise<Orphan[]> {
  const carriers = await carriersOf(WORKER_VARIABLE)
  const context: Context = {
    stateDir,
    marks: new Map(carriers.map(({ pid, value }) => [pid, value])),
    above: ancestors(),
  }
  return withHoldings(carriers.flatMap((carrier) => judge(carrier, context) ?? [])).sort(byName)
}

interface Context {
  stateDir: string
  /** What each carrier carries. */
  marks: ReadonlyMap<number, string>
  /** Whom this process descends from. */
  above: readonly number[]
}

function judge(carrier: Carrier, { stateDir, marks, above }: Context): Orphan | null {
  const { pid, value, environ } = carrier
  const mark = parseMark(value)
  if (!mark) return null
  const kind = orphanKind({
    hasMaster: isAlive(mark.master),
    isOfStateDir: sharesPids(pid) && isSamePlace(stateDir, { pid, theirs: mark.stateDir }),
    hasIdentity: valueIn(environ, IDENTITY_VARIABLE) !== null,
    isInherited: marks.get(parentOf(pid) ?? 0) === value,
    isAncestor: above.includes(pid),
  })
  const id = kind && verify(carrier)
  if (!kind || !id) return null
  const { worker, key, master } = mark
  return { ...id, ...looksOf(id), kind, worker, key, masterPid: master.pid }
}

function looksOf(id: ProcessId): Pick<Orphan, 'title' | 'startedAt' | 'isStopped' | 'listen' | 'connections'> {
  return {
    title: titleOf(id.pid),
    startedAt: startedAtOf(id),
    isStopped: isStopped(id.pid),
    listen: [],
    connections: 0,
  }
}

/** Whom this process descends from, up to the first of all. */
function ancestors(): number[] {
  const pids: number[] = []
  for (let pid: number | null = process.ppid; pid !== null && pid > 1; pid = parentOf(pid)) pids.push(pid)
  return pids
}

/** Of them, those that still live, with what they hold now. */
export function stillThere(orphans: readonly Orphan[]): Orphan[] {
  return withHoldings(orphans.filter(isAlive).map((orphan) => ({ ...orphan, isStopped: isStopped(orphan.pid) })))
}

function withHoldings(orphans: Orphan[]): Orphan[] {
  if (orphans.length === 0) return []
  const rows = socketRows()
  return orphans.map((orphan) => {
    const inodes = socketsOf(orphan.pid) ?? new Set()
    // what is open on UDP may be a client's as well as a server's
    const held = rows.filter((row) => row.kind !== 'udp' && inodes.has(row.inode))
    const listen = [...new Set(held.filter((row) => row.isListening).map((row) => row.address))].sort()
    return { ...orphan, listen, connections: held.filter(isConnection).length }
  })
}

/** The ends of pipes and channels have no name; what was accepted on a unix socket has the name of that. */
function isConnection({ kind, isListening, address }: SocketRow): boolean {
  return !isListening && (kind === 'tcp' || address !== '')
}

function byName(one: Orphan, other: Orphan): number {
  const rank = ({ kind, worker }: Orphan): string => `${kind === 'worker' ? 0 : 1} ${worker ?? '~'}`
  return rank(one).localeCompare(rank(other), 'en', { numeric: true }) || one.pid - other.pid
}
