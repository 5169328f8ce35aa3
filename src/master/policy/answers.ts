/**
 * How an operation ends: its summary, who is told at once and who when the last old process is gone,
 * and what becomes of those that wait when everything stops. Called by the policy only.
 */
import type { ReloadFailure, ReloadSummary, Replaced, Standing } from '../../ipc/status.ts'
import { originNeedsRestart } from '../../spec/difference.ts'
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import { type Child, currentOf, type Fleet, type Group, highestGeneration, liveSlots, servingOf } from './fleet.ts'
import type { Reload, Scaling } from './operations.ts'
import { groupsOf } from './succession.ts'

export function emptySummary(fleet: Fleet, next: ReadonlyMap<string, number>): ReloadSummary {
  return {
    result: 'done',
    generation: highestGeneration(fleet),
    durationMs: 0,
    error: null,
    replaced: [],
    kept: [...fleet.groups.values()].filter((group) => !group.isLeaving && !next.has(group.name)).map(nameOf),
    applied: [],
    needsRestart: [],
    standing: [],
  }
}

function nameOf(group: Group): string {
  return group.name
}

/** The next operation may begin; the answer waits for those that leave, unless it was wanted now. */
export function endServing(
  fleet: Fleet,
  reload: Reload,
  end: { result: ReloadSummary['result']; error: ReloadFailure | null; now: number },
  actions: Action[],
): void {
  const { summary, topology, read } = reload
  summary.result = end.result
  summary.error = end.error
  summary.generation = highestGeneration(fleet)
  if (end.result === 'done' || end.result === 'mixed') summary.applied = appliedOf(fleet, reload)
  summary.needsRestart = [
    ...(topology?.needsRestart ?? []),
    ...(read ? originNeedsRestart(fleet.conditions, read) : []),
  ]
  fleet.reload = null
  for (const { name, count } of fleet.groups.values()) reload.served.set(name, count)
  summary.standing = standingOf(fleet, reload)
  if (end.result !== 'cancelled') collectLeaving(fleet, reload)
  const now = reload.asks.filter((ask) => ask.wait === 'serving').map((ask) => ask.id)
  if (now.length > 0)
    actions.push({ do: 'answer', ids: now, summary: summaryNow(fleet, reload, end.now), completeness: 'partial' })
  fleet.settling.push(reload)
}

/** Of a roll that stopped halfway, what it has finished. */
function appliedOf(fleet: Fleet, { topology, summary }: Reload): string[] {
  const applied = topology?.applied ?? []
  if (summary.result === 'done') return applied
  const finished = [...(topology?.variants ?? [])].filter(
    ([name, variant]) => fleet.groups.get(name)?.spec === variant.spec,
  )
  return applied.filter((change) => finished.some(([name]) => change.startsWith(`${name}: `)))
}

/**
 * The affected groups, and those that it ends: every child that is not the one that serves its slot, or is about to.
 * One that has changed nothing has only its own to wait for.
 */
function collectLeaving(fleet: Fleet, reload: Reload): void {
  const { topology, summary } = reload
  const names = new Set([...reload.groups, ...(topology?.added ?? []), ...(topology?.removed ?? [])])
  const hasChanged = summary.result === 'done' || summary.result === 'mixed'
  for (const child of fleet.children.values()) {
    if (!names.has(child.name) || isWanted(fleet, child)) continue
    if (hasChanged || child.generation === reload.next.get(child.name)) reload.leaving.add(child.key)
  }
}

function isWanted(fleet: Fleet, child: Child): boolean {
  const group = fleet.groups.get(child.name)
  const slot = group && liveSlots(group)[child.id]
  if (!slot) return false
  if (isComing(child.state)) return child.generation === slot.target
  return child === currentOf(fleet, child.name, child.id)
}

/** What can be said while the old ones still leave. */
function summaryNow(fleet: Fleet, reload: Reload, now: number): ReloadSummary {
  // who drains since an earlier reload stands in the summary of that one
  const isEarlier = (child: Child): boolean => fleet.settling.some((operation) => operation.leaving.has(child.key))
  const draining = [...fleet.children.values()].filter((child) => reload.leaving.has(child.key) && !isEarlier(child))
  const rows = draining.map((old) => rowFor(old, old.successor ?? currentOf(fleet, old.name, old.id), now))
  const replaced = [...reload.summary.replaced, ...rows.filter((row) => row !== null)]
  const filled = filledRows(fleet, reload, replaced)
  const durationMs = Math.round(now - reload.startedAt)
  return { ...reload.summary, replaced: [...replaced, ...filled], durationMs, standing: standingNow(fleet, reload) }
}

function rowFor(old: Child, successor: Child | null, now: number): Replaced | null {
  if (!successor || successor === old || successor.generation === old.generation) return null
  return {
    name: old.name,
    id: old.id,
    oldPid: old.pid,
    newPid: successor.pid,
    startMs: Math.round((successor.preparedAt ?? now) - successor.startedAt),
    drainMs: null,
    connectionsMoved: 0,
    connectionsCut: 0,
    killed: false,
    leftEarly: false,
    stopFault: null,
  }
}

// ---- settle --------------------------------------------------------------------------------------------------------

/** Answers every operation whose old children are gone; a stop cancels the rest. */
export function settle(fleet: Fleet, now: number, actions: Action[]): void {
  if (fleet.phase === 'stopping' || fleet.phase === 'stopped') cancel(fleet, now, actions)
  for (const operation of [...fleet.settling]) {
    for (const key of operation.leaving) if (!fleet.children.has(key)) operation.leaving.delete(key)
    if (operation.leaving.size > 0) continue
    fleet.settling.splice(fleet.settling.indexOf(operation), 1)
    operation.summary.durationMs = Math.round(now - operation.startedAt)
    if (operation.kind === 'reload') answerReload(fleet, operation, actions)
    else answerScaling(operation, actions)
  }
}

function answerReload(fleet: Fleet, reload: Reload, actions: Action[]): void {
  const { summary } = reload
  summary.replaced.push(...filledRows(fleet, reload, summary.replaced))
  summary.standing = standingNow(fleet, reload)
  const ids = reload.asks.filter((ask) => summary.result === 'cancelled' || ask.wait === 'done').map((ask) => ask.id)
  const isStale = reload.key < fleet.answeredReload
  if (!isStale) fleet.answeredReload = reload.key
  actions.push({ do: 'answer', ids, summary, completeness: isStale ? 'stale' : 'whole' })
}

function answerScaling({ ids, summary }: Scaling, actions: Action[]): void {
  actions.push({ do: 'answer-scale', ids, summary })
}

/**
 * A slot that was empty when its successor came has nobody whose exit would tell of the change. What a
 * `scale` has added since then is not the reload's.
 */
function filledRows(fleet: Fleet, reload: Reload, rows: readonly Replaced[]): Replaced[] {
  if (reload.summary.result !== 'done' && reload.summary.result !== 'mixed') return []
  const filled: Replaced[] = []
  for (const name of reload.groups)
    for (const { id } of fleet.groups.get(name)?.slots.slice(0, reload.served.get(name) ?? 0) ?? []) {
      const current = currentOf(fleet, name, id)
      if (current?.generation !== reload.next.get(name) || rows.some((row) => row.name === name && row.id === id))
        continue
      const startMs = Math.round((current?.preparedAt ?? 0) - (current?.startedAt ?? 0))
      const fresh = { oldPid: null, newPid: current?.pid ?? 0, startMs, drainMs: 0 }
      const nobodyLeft = { connectionsMoved: 0, connectionsCut: 0, killed: false, leftEarly: false, stopFault: null }
      filled.push({ name, id, ...fresh, ...nobodyLeft })
    }
  return filled
}

function standingOf(fleet: Fleet, reload: Reload): Standing[] {
  const staying = groupsOf(fleet, reload).filter((group) => !group.isLeaving)
  return staying.map((group) => {
    const { name, count } = group
    const isFresh = (id: number): boolean => currentOf(fleet, name, id)?.generation === reload.next.get(name)
    const fresh = liveSlots(group).flatMap(({ id }) => (isFresh(id) ? [id] : []))
    const servedBefore = reload.servedBefore.get(name) ?? 0
    const hasServed = reload.touched.has(name)
    return { name, count, serving: servingOf(fleet, group), servedBefore, fresh, hasServed }
  })
}

/** While its old workers left others may have come and gone; that its code has served stays so. */
function standingNow(fleet: Fleet, reload: Reload): Standing[] {
  return reload.summary.standing.flatMap((row) => {
    const group = fleet.groups.get(row.name)
    if (!group || group.isLeaving) return []
    const isStill = (id: number): boolean => currentOf(fleet, row.name, id)?.generation === reload.next.get(row.name)
    return [{ ...row, count: group.count, serving: servingOf(fleet, group), fresh: row.fresh.filter(isStill) }]
  })
}

// ---- a stop --------------------------------------------------------------------------------------------------------

function cancel(fleet: Fleet, now: number, actions: Action[]): void {
  const { reload, scaling } = fleet
  if (reload?.phase === 'gate') actions.push({ do: 'end-gate' })
  if (reload) {
    reload.asks.forEach((ask) => {
      ask.wait = 'done'
    })
    endServing(fleet, reload, { result: 'cancelled', error: null, now }, actions)
  }
  if (scaling) {
    scaling.summary.result = 'cancelled'
    fleet.scaling = null
    fleet.settling.push(scaling)
  }
  const waiting = fleet.waiting.splice(0)
  const reloads = waiting.filter((request) => request.kind === 'reload').map((request) => request.id)
  const scales = waiting.filter((request) => request.kind === 'scale').map((request) => request.id)
  if (reloads.length > 0) {
    const summary = { ...emptySummary(fleet, new Map()), result: 'cancelled' as const }
    actions.push({ do: 'answer', ids: reloads, summary, completeness: 'partial' })
  }
  if (scales.length > 0)
    actions.push({
      do: 'answer-scale',
      ids: scales,
      summary: { result: 'cancelled', groups: [], durationMs: 0, error: null },
    })
}
