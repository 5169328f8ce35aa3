/**
 * A change of the number of workers as policy: first those that come, all of them serving, then those
 * that go. New ones that fail leave the number as it was. Called by `reconcile` only.
 */
import type { ReloadFailure } from '../../ipc/status.ts'
import { MAX_COUNT } from '../../spec/spec.ts'
import type { Action } from './actions.ts'
import { currentOf, type Fleet, type Group, growSlots, hasFailed, retarget, type Slot } from './fleet.ts'
import type { ScaleRequest, Scaling } from './operations.ts'
import { retireExtra } from './retire.ts'

export function beginScale(fleet: Fleet, request: ScaleRequest, now: number, actions: Action[]): void {
  const wanted = wantedOf(fleet, request)
  const unknown = wanted.find(({ name }) => !groupOf(fleet, name))
  const summary: Scaling['summary'] = { result: 'done', groups: [], durationMs: 0, error: null }
  const scaling: Scaling = { kind: 'scale', ids: [request.id], startedAt: now, summary, leaving: new Set() }
  fleet.scaling = scaling
  if (unknown || fleet.isDormant) {
    end(fleet, scaling, unknown ? goneError(unknown.name) : dormantError(fleet), now, actions)
    return
  }
  for (const { name, count } of wanted) {
    const group = groupOf(fleet, name)
    if (!group) continue
    summary.groups.push({ name, from: group.count, to: count })
    if (count > group.count) grow(group, count)
  }
}

/** A reload that was before it in the queue has ended the group. */
function goneError(name: string): ReloadFailure {
  const message = 'the start file no longer has this worker'
  return { worker: name, message, stack: message, output: '' }
}

function dormantError({ startFailure }: Fleet): ReloadFailure {
  const message = 'nothing runs: the first start has failed'
  return { worker: startFailure?.worker ?? '', message, stack: message, output: '' }
}

function wantedOf(fleet: Fleet, { to }: ScaleRequest): { name: string; count: number }[] {
  if (Array.isArray(to)) return to
  return [...fleet.groups.values()]
    .filter((group) => group.spec.reloadable && !group.isLeaving)
    .map((group) => ({ name: group.name, count: Math.min(MAX_COUNT, Math.max(1, group.count + to)) }))
}

function groupOf(fleet: Fleet, name: string): Group | undefined {
  const group = fleet.groups.get(name)
  return group?.isLeaving ? undefined : group
}

/** A slot may still be there, with a child in it that leaves. */
function grow(group: Group, count: number): void {
  for (const slot of group.slots.slice(group.count, count)) retarget(slot, group.generation)
  growSlots(group, count, group.generation)
  group.count = count
}

export function advanceScale(fleet: Fleet, scaling: Scaling, now: number, actions: Action[]): void {
  const { groups } = scaling.summary
  const fresh = groups.flatMap(({ name, from, to }) => slotsOf(fleet, name, from, to).map((slot) => ({ name, slot })))
  const failed = fresh.find(({ slot }) => hasFailed(slot))
  if (failed) {
    for (const { name, from, to } of groups) if (to > from) setCount(fleet, name, from)
    end(fleet, scaling, failed.slot.lastFailure ?? goneError(failed.name), now, actions)
    return
  }
  if (fresh.some(({ name, slot }) => currentOf(fleet, name, slot.id) === null)) return
  for (const { name, from, to } of groups) if (to < from) setCount(fleet, name, to)
  end(fleet, scaling, null, now, actions)
}

function slotsOf(fleet: Fleet, name: string, from: number, to: number): Slot[] {
  return fleet.groups.get(name)?.slots.slice(from, Math.max(from, to)) ?? []
}

function setCount(fleet: Fleet, name: string, count: number): void {
  const group = fleet.groups.get(name)
  if (group) group.count = count
}

/** The next operation may begin; the answer waits for those that go, who are told so at once. */
function end(fleet: Fleet, scaling: Scaling, error: ReloadFailure | null, now: number, actions: Action[]): void {
  scaling.summary.result = error ? 'failed' : 'done'
  scaling.summary.error = error
  fleet.scaling = null
  for (const { name } of scaling.summary.groups) {
    const group = groupOf(fleet, name)
    for (const child of group ? retireExtra(fleet, group, now, actions) : []) scaling.leaving.add(child.key)
  }
  fleet.settling.push(scaling)
}
