/**
 * What a start file that was read anew does to a reload under way: groups that come get their slots, those
 * that go need no successors, new listeners are bound. Called by `reload`; changes the fleet's data.
 */
import type { Spec } from '../../spec/spec.ts'
import type { Action } from './actions.ts'
import { isComing } from './child.ts'
import {
  type Child,
  createGroup,
  type Fleet,
  type Group,
  growSlots,
  highestGeneration,
  nextGeneration,
  retarget,
} from './fleet.ts'
import type { Reload } from './operations.ts'
import { startDrain } from './retire.ts'
import { groupsOf, nextCount, previousOf } from './succession.ts'
import { missingError, planTopology, type Topology } from './topology.ts'

/** Plans what the start file changes, and brings in, or spares, whole groups. Nothing old is touched. */
export function reshape(fleet: Fleet, reload: Reload, specs: readonly Spec[], now: number, actions: Action[]): void {
  const running = [...fleet.groups.values()].filter((group) => !group.isLeaving)
  const topology = planTopology(running, specs, { groups: reload.groups, isFull: reload.isFull }, fleet.listeners)
  reload.topology = topology
  reload.failure = topology.impossible ?? (topology.missing === null ? null : missingError(topology.missing))
  if (reload.failure) return
  for (const [name, variant] of topology.variants) {
    const generation = reload.next.get(name)
    if (generation !== undefined) fleet.groups.get(name)?.variants.set(generation, variant)
  }
  for (const child of fleet.children.values())
    if (hasOldEnv(fleet, reload, child)) startDrain(fleet, child, 'cancelled', now, actions)
  for (const name of topology.removed) spare(fleet, reload, name)
  for (const name of topology.added) bringIn(fleet, reload, topology, name)
  if (reload.strategy === 'atomic') for (const group of groupsOf(fleet, reload)) fitToCount(reload, group)
  for (const { key, spec } of topology.binds) {
    reload.binding.add(key)
    actions.push({ do: 'bind', key, spec })
  }
}

/** A successor that was started before the new environment was known: what it reads while it loads would be the old one. */
function hasOldEnv(fleet: Fleet, reload: Reload, child: Child): boolean {
  const group = fleet.groups.get(child.name)
  const next = reload.topology?.variants.get(child.name)
  if (!group || !next || child.generation !== reload.next.get(child.name) || !isComing(child.state)) return false
  return JSON.stringify(group.spec.env) !== JSON.stringify(next.spec.env)
}

/** A group that is to go needs no successors: it serves until those of the others do. */
function spare(fleet: Fleet, reload: Reload, name: string): void {
  const group = fleet.groups.get(name)
  if (group) for (const slot of group.slots) retarget(slot, previousOf(reload, group, slot))
  reload.groups = reload.groups.filter((other) => other !== name)
  reload.next.delete(name)
}

function bringIn(fleet: Fleet, reload: Reload, topology: Topology, name: string): void {
  const variant = topology.variants.get(name)
  if (!variant) return
  const old = fleet.groups.get(name)
  const newest = Math.max(highestGeneration(fleet), ...reload.next.values())
  const generation = old ? Math.max(newest, nextGeneration(fleet, old)) : newest
  const group = createGroup(variant.spec, variant.listener, generation)
  // one of that name still leaves: its children keep their slots, which are filled anew
  if (old) {
    group.slots = [...group.slots, ...old.slots.slice(group.count)]
    group.leaderKey = old.leaderKey
  }
  fleet.groups.set(name, group)
  reload.groups = [...reload.groups, name]
  reload.next.set(name, generation)
}

/** Every slot of the new number proves itself, those beyond it do not. */
function fitToCount(reload: Reload, group: Group): void {
  const generation = reload.next.get(group.name)
  const count = nextCount(reload, group)
  if (generation === undefined) return
  for (const slot of group.slots.slice(count)) retarget(slot, previousOf(reload, group, slot))
  growTo(group, count, generation)
}

/** Adds the slots that a higher number asks for, to be filled with this generation. */
export function growTo(group: Group, count: number, generation: number): void {
  if (count <= group.count) return
  for (const slot of group.slots.slice(group.count, count)) retarget(slot, generation)
  growSlots(group, count, generation)
  group.count = count
}
