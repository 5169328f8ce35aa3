/**
 * Orphans: what a master that was killed has left alive, its workers that still finish what they have
 * and what they had started. Pure: who is one, and the words for it. Found by `findorphans`; told by the
 * command line and by the next master of the same state directory.
 */
import { printable } from '../log.ts'
import type { ProcessId } from '../os/processes.ts'
import { duration, plural } from '../words.ts'

export interface Orphan extends ProcessId {
  /** `child`: a process that a worker had started, or one that such a process has. */
  kind: 'worker' | 'child'
  /** `web/0`, of a child the worker that had started it; null: of a process that only reads the start file. */
  worker: string | null
  /** Of the slot's process in its master: a worker and its children have the same. */
  key: number
  masterPid: number
  title: string
  startedAt: Date | null
  /** A signal or a debugger has stopped it: it will not leave by itself. */
  isStopped: boolean
  /** Where it still accepts. */
  listen: string[]
  /** TCP, to clients and to others; on unix sockets to clients alone. */
  connections: number
}

/** What is known of a process that carries a mark. */
export interface Suspect {
  /** The master of its mark lives. */
  hasMaster: boolean
  /** Pids and paths mean the same to it as to us, and its state directory is the one that is asked about. */
  isOfStateDir: boolean
  /** It was started with the identity that a master gives to its workers, and to nobody else. */
  hasIdentity: boolean
  /** Its parent carries the same mark. */
  isInherited: boolean
  /** What we were started by: a shell in which a child of a worker has called us. */
  isAncestor: boolean
}

/** What it is of a master that is gone; null: it is none of our business. */
export function orphanKind({ hasMaster, isOfStateDir, ...suspect }: Suspect): Orphan['kind'] | null {
  if (hasMaster || !isOfStateDir) return null
  // a loader may start a process of its own before the worker's first module has hidden the identity
  if (suspect.hasIdentity && !suspect.isInherited) return 'worker'
  return suspect.isAncestor ? null : 'child'
}

// ---- words ---------------------------------------------------------------------------------------------------------

const MAX_NAMED = 5
const MAX_TITLE_CHARS = 60

/**
 * A line for each, children on the line of their worker when that lives, too; at most five, and how
 * many more there are.
 */
export function orphanLines(orphans: readonly Orphan[], nowMs: number): string[] {
  const workers = orphans.filter(({ kind }) => kind === 'worker')
  const isHeir = (orphan: Orphan): boolean =>
    orphan.kind === 'child' && !workers.some((worker) => isSameMark(worker, orphan))
  const rows = [...workers, ...orphans.filter(isHeir)]
  const lines = rows.slice(0, MAX_NAMED).map((row) => {
    const children = row.kind === 'worker' ? orphans.filter((other) => other.kind === 'child') : []
    return orphanLine(row, { nowMs, children: children.filter((child) => isSameMark(child, row)) })
  })
  return rows.length > MAX_NAMED ? [...lines, `and ${rows.length - MAX_NAMED} more`] : lines
}

function isSameMark(one: Orphan, other: Orphan): boolean {
  return one.masterPid === other.masterPid && one.key === other.key
}

function orphanLine(orphan: Orphan, { nowMs, children }: { nowMs: number; children: readonly Orphan[] }): string {
  const up = orphan.startedAt ? `, up ${duration(nowMs - orphan.startedAt.getTime())}` : ''
  const has = [
    ...(orphan.isStopped ? ['stopped by a signal'] : []),
    ...(orphan.listen.length > 0 ? [`listens on ${orphan.listen.join(', ')}`] : []),
    orphan.connections === 0 ? 'no open connection' : plural(orphan.connections, 'open connection'),
    ...(children.length > 0 ? [`has started ${children.map(orphanName).join(', ')}`] : []),
  ]
  return `${orphanName(orphan)} of master ${orphan.masterPid}${up}: ${has.join(', ')}`
}

/** `web/0 pid 4711`; `pid 4712 (sleep 1000)`, which web/0 had started. */
export function orphanName({ kind, worker, pid, title }: Pick<Orphan, 'kind' | 'worker' | 'pid' | 'title'>): string {
  if (kind === 'worker') return `${worker ?? 'a reader of the start file,'} pid ${pid}`
  // anybody may call himself anything
  const line = printable(title).replaceAll(/\s+/g, ' ')
  const short = line.length > MAX_TITLE_CHARS ? `${line.slice(0, MAX_TITLE_CHARS - 1)}…` : line
  return `pid ${pid} (${short})`
}

export const FORCE_HINT = 'They leave when they have finished what they have; stop --force ends them at once.'
export const STUCK_HINT = 'stop --force ends them.'

/** For a hint: who they are, and what to do about them. */
export function orphanHint(orphans: readonly Orphan[], nowMs: number, advice = adviceFor(orphans)): string {
  return ['An earlier master was killed and has left:', ...orphanLines(orphans, nowMs), advice].join('\n')
}

function adviceFor(orphans: readonly Orphan[]): string {
  // one that is well accepts nothing any more, and ends what it has started before it leaves
  const isLeaving = ({ kind, isStopped, listen }: Orphan): boolean =>
    !isStopped && kind === 'worker' && listen.length === 0
  const isOwned = (child: Orphan): boolean => orphans.some((other) => isLeaving(other) && isSameMark(other, child))
  return orphans.every((orphan) => isLeaving(orphan) || isOwned(orphan)) ? FORCE_HINT : STUCK_HINT
}

/** As `--json` prints it. */
export interface OrphanStatus {
  pid: number
  kind: Orphan['kind']
  worker: string | null
  masterPid: number
  title: string
  startedAt: string | null
  stopped: boolean
  listen: string[]
  connections: number
}

export function orphanStatus(orphan: Orphan): OrphanStatus {
  const { pid, kind, worker, masterPid, title, startedAt, isStopped, listen, connections } = orphan
  const at = startedAt?.toISOString() ?? null
  return { pid, kind, worker, masterPid, title, startedAt: at, stopped: isStopped, listen, connections }
}
