/**
 * What a start file that was read anew changes: groups that come, go, grow, shrink or move to another
 * address, and what a running master cannot do. Pure; used by a reload and by its dry run alike, so
 * that the one does what the other has said.
 */
import { type Address, formatAddress, hasAnyPort, overlaps } from '../../address.ts'
import type { ReloadFailure } from '../../ipc/status.ts'
import { type Difference, differencesOf } from '../../spec/difference.ts'
import type { Spec } from '../../spec/spec.ts'
import { listenerKey } from './listenerkey.ts'

/** A group as it runs. */
export interface Standing {
  readonly name: string
  readonly spec: Spec
  readonly listener: string | null
  readonly count: number
}

export interface Topology {
  /** What each affected group becomes; those that come are in it. */
  variants: Map<string, { spec: Spec; listener: string | null }>
  /** The number of workers of each of them, which a `scale` may have set. */
  counts: Map<string, number>
  added: string[]
  removed: string[]
  /** Listeners that are not held yet. */
  binds: { key: string; spec: Spec }[]
  /** A sentence for each change that is made. */
  applied: string[]
  /** And for each that is not, with what to do. */
  needsRestart: string[]
  /** A group that was asked for by its name and is not there any more: it may have another name now. */
  missing: string | null
  /** Something that cannot be had and cannot be left out either. */
  impossible: ReloadFailure | null
}

export interface Affected {
  /** The groups whose processes are replaced. */
  groups: readonly string[]
  /** Groups may come and go. */
  isFull: boolean
}

/** @param held the keys of the listeners that the master holds. */
export function planTopology(
  running: readonly Standing[],
  next: readonly Spec[],
  affected: Affected,
  held: ReadonlySet<string>,
): Topology {
  const plan: Topology = {
    variants: new Map(),
    counts: new Map(),
    added: [],
    removed: [],
    binds: [],
    applied: [],
    needsRestart: [],
    missing: null,
    impossible: null,
  }
  const after = new Map(next.map((spec) => [spec.name, spec]))
  for (const group of running) {
    const spec = after.get(group.name)
    if (!affected.groups.includes(group.name)) leaveAlone(plan, group, spec, affected)
    else if (spec) change(plan, group, spec, held)
    else if (affected.isFull || !group.spec.reloadable) remove(plan, group)
    else plan.missing ??= group.name
  }
  const names = new Set(running.map((group) => group.name))
  const fresh = next.filter((spec) => !names.has(spec.name))
  for (const spec of fresh) add(plan, spec, { running, fresh, affected, held })
  for (const { spec, listener } of plan.variants.values())
    if (listener !== null && !held.has(listener)) plan.binds.push({ key: listener, spec })
  for (const group of running) if (group.listener !== null && staysOn(plan, group)) guard(plan, group, running)
  return plan
}

// ---- groups that are there -----------------------------------------------------------------------------------------

/** It is not in the plan, and goes on listening where it does. */
function staysOn(plan: Topology, { name }: Standing): boolean {
  return !plan.variants.has(name) && !plan.removed.includes(name)
}

/** Nobody may come to the address of a group that stays there: two would answer on one port. */
function guard(plan: Topology, group: Standing, running: readonly Standing[]): void {
  const { listener } = group
  if (listener !== null) keepAddress(plan, listener, running, `${group.name} stays on ${addressText(group.spec)}`)
}

/** Not part of this reload: what would change is named. */
function leaveAlone(plan: Topology, group: Standing, spec: Spec | undefined, { isFull }: Affected): void {
  const isKept = !group.spec.reloadable
  const how = isKept ? `it is kept in reloads: reload --force ${group.name}` : `reload ${group.name}`
  if (!spec) {
    const end = isKept || isFull ? how : 'a reload of everything'
    plan.needsRestart.push(`${group.name}: removed from the start file (${end} ends it)`)
    return
  }
  for (const { text } of differencesOf(group.spec, spec))
    plan.needsRestart.push(`${group.name}: ${text} (${how} applies it)`)
}

function change(plan: Topology, group: Standing, spec: Spec, held: ReadonlySet<string>): void {
  const moves = listenerKey(spec) !== listenerKey(group.spec)
  const differences = differencesOf(group.spec, spec)
  for (const difference of differences) {
    const isFixed = isFixedAtBind(difference) && !moves
    plan[isFixed ? 'needsRestart' : 'applied'].push(`${group.name}: ${difference.text}`)
  }
  // what is not applied stays in the spec as it is: the next reload names it again
  const { socketMode, socketOwner } = group.spec
  const variant = moves
    ? { spec, listener: freeKey(plan, spec, held) }
    : { spec: { ...spec, socketMode, socketOwner }, listener: group.listener }
  plan.variants.set(group.name, variant)
  const isResized = differences.some(({ key }) => key === 'count')
  plan.counts.set(group.name, isResized ? spec.count : group.count)
}

/** What the master has given to a unix socket when it made it. */
function isFixedAtBind({ key }: Difference): boolean {
  return key === 'socketMode' || key === 'socketOwner'
}

function remove(plan: Topology, group: Standing): void {
  plan.removed.push(group.name)
  plan.applied.push(`${group.name}: removed from the start file`)
}

// ---- groups that come ----------------------------------------------------------------------------------------------

interface Coming {
  running: readonly Standing[]
  /** All that come. */
  fresh: readonly Spec[]
  affected: Affected
  held: ReadonlySet<string>
}

function add(plan: Topology, spec: Spec, coming: Coming): void {
  if (!coming.affected.isFull) {
    plan.needsRestart.push(`${spec.name}: new in the start file (a reload of everything starts it)`)
    return
  }
  plan.added.push(spec.name)
  plan.counts.set(spec.name, spec.count)
  const listener = heirOf(plan, spec, coming) ?? freeKey(plan, spec, coming.held)
  plan.variants.set(spec.name, { spec, listener })
  plan.applied.push(`${spec.name}: new in the start file`)
}

/** A group on port 0 that only gets another name keeps the port that was chosen for it. */
function heirOf(plan: Topology, spec: Spec, { running, fresh }: Coming): string | null {
  if (!isOnAnyPort(spec)) return null
  const wants = spec.address?.text
  const free = running.filter((group) => plan.removed.includes(group.name) && group.spec.address?.text === wants)
  // of several nobody can say which is which
  if (free.length !== 1 || fresh.filter(({ address }) => address?.text === wants).length !== 1) return null
  return free[0]?.listener ?? null
}

/** The key of a group's listener; on port 0 one that no other group has inherited under its name. */
function freeKey(plan: Topology, spec: Spec, held: ReadonlySet<string>): string | null {
  const key = listenerKey(spec)
  if (key === null || !isOnAnyPort(spec)) return key
  const given = new Set([...plan.variants.values()].map((variant) => variant.listener))
  let free = key
  for (let number = 2; held.has(free) || given.has(free); number++) free = `${key} (${number})`
  return free
}

function isOnAnyPort({ address }: Spec): boolean {
  return address !== null && hasAnyPort(address)
}

/**
 * Only a reload of everything ends a group: with one of a name its successor would not come. One that
 * reloads keep can be named only on purpose, and ends with that.
 */
export function missingError(name: string): ReloadFailure {
  const message = `the start file describes no worker "${name}" any more`
  return { worker: name, message, stack: `${message}\nA reload of everything ends it.`, output: '' }
}

// ---- what cannot be had --------------------------------------------------------------------------------------------

/** The address of the master's own that a new one cannot be bound beside; null: somebody else is in the way. */
export function holderAmong(address: Address, own: readonly (Address | null)[]): string | null {
  return own.find((held) => held !== null && overlaps(address, held))?.text ?? null
}

/**
 * Takes back what needs a listener that cannot be bound as long as this master runs: a group that is
 * there stays where it is, one that would come does not. @returns the names of those that do not come.
 */
export function keepAddress(plan: Topology, key: string, running: readonly Standing[], because: string): string[] {
  const dropped: string[] = []
  for (const [name, variant] of plan.variants) {
    if (variant.listener !== key) continue
    const group = running.find((candidate) => candidate.name === name)
    if (group) {
      const text = `${name}: address ${addressText(group.spec)} → ${addressText(variant.spec)}`
      plan.applied = plan.applied.filter((sentence) => sentence !== text)
      plan.needsRestart.push(`${text} (${because})`)
      plan.variants.set(name, { spec: { ...variant.spec, address: group.spec.address }, listener: group.listener })
      if (variant.spec.address?.protocol !== group.spec.address?.protocol) plan.impossible ??= protocolError(name, text)
      continue
    }
    dropped.push(name)
    plan.added = plan.added.filter((added) => added !== name)
    plan.applied = plan.applied.filter((sentence) => sentence !== `${name}: new in the start file`)
    plan.needsRestart.push(`${name}: new in the start file, on ${addressText(variant.spec)} (${because})`)
    plan.variants.delete(name)
    plan.counts.delete(name)
  }
  plan.binds = plan.binds.filter((bind) => bind.key !== key)
  return dropped
}

/** The new code would speak another protocol on the old port. */
function protocolError(name: string, change: string): ReloadFailure {
  const message = `this needs a restart: ${change}`
  return { worker: name, message, stack: message, output: '' }
}

function addressText(spec: Spec): string {
  return spec.address ? formatAddress(spec.address) : 'none'
}
