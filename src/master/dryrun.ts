/**
 * What a reload would do, without doing it: one process reads the start file, the policy's own plan is
 * made of it, and every new address is bound for a moment. Called for `reload --dry-run`.
 */
import type { Address } from '../address.ts'
import type { ReloadFailure, ReloadPlan } from '../ipc/status.ts'
import { originNeedsRestart } from '../spec/difference.ts'
import { stagesOf } from '../spec/order.ts'
import type { Spec } from '../spec/spec.ts'
import { bindFailure, bindListener } from './listeners.ts'
import { quarterOf } from './policy/bringup.ts'
import type { ReloadRequest } from './policy/operations.ts'
import { holderAmong, keepAddress, missingError, planTopology, type Topology } from './policy/topology.ts'
import type { Supervisor } from './supervisor.ts'

type Order = Pick<ReloadRequest, 'groups' | 'strategy' | 'surge'>

export async function dryRun(supervisor: Supervisor, order: Order): Promise<ReloadPlan> {
  const { conditions, isDormant } = supervisor.fleet
  const result = await supervisor.preparations.readStartFile()
  const groups = [...supervisor.fleet.groups.values()].filter((group) => !group.isLeaving)
  const affected = groups
    .filter(({ name, spec }) => isDormant || (order.groups?.includes(name) ?? spec.reloadable))
    .map((group) => group.name)
  const plan: ReloadPlan = {
    result: 'possible',
    strategy: order.strategy,
    preReload: conditions.settings.preReload?.command ?? null,
    stages: [],
    kept: groups.map((group) => group.name).filter((name) => !affected.includes(name)),
    applied: [],
    needsRestart: [],
    error: null,
  }
  if (!result.reading) {
    const { failure, output } = result
    return { ...plan, result: 'rejected', error: { worker: 'start file', ...failure, output } }
  }
  const { specs } = result.reading
  const { listeners } = supervisor.fleet
  const topology = planTopology(
    groups,
    specs,
    { groups: affected, isFull: isDormant || order.groups === null },
    listeners,
  )
  const missing = topology.missing === null ? null : missingError(topology.missing)
  const taken = missing ?? (await tryAddresses(topology, groups, conditions.settings.metrics))
  const error = topology.impossible ?? taken
  const needsRestart = [...topology.needsRestart, ...originNeedsRestart(conditions, result.reading)]
  const said = { applied: topology.applied, needsRestart, stages: stages(topology, order) }
  return error ? { ...plan, ...said, result: 'rejected', error } : { ...plan, ...said }
}

function stages(topology: Topology, { strategy, surge }: Order): ReloadPlan['stages'] {
  const specs = [...topology.variants.values()].map((variant) => variant.spec)
  const rowOf = (name: string): ReloadPlan['stages'][number][number] => {
    const count = topology.counts.get(name) ?? 0
    const isNew = topology.added.includes(name)
    return { name, count, surge: strategy === 'atomic' ? count : Math.min(count, surge ?? quarterOf(count)), isNew }
  }
  return stagesOf(specs).map((stage) => stage.map(rowOf))
}

/** The first address that somebody else has; what this master itself is in the way of is taken out of the plan. */
async function tryAddresses(
  topology: Topology,
  running: Parameters<typeof keepAddress>[2],
  metrics: Address | null,
): Promise<ReloadFailure | null> {
  for (const { key, spec } of [...topology.binds]) {
    const failure = await tryToBind(spec)
    if (!failure) continue
    const holder =
      failure.inUse && spec.address
        ? holderAmong(spec.address, [...running.map((group) => group.spec.address), metrics])
        : null
    if (holder === null) return failure.error
    keepAddress(topology, key, running, `this master holds ${holder}`)
  }
  return null
}

async function tryToBind(spec: Spec): Promise<{ error: ReloadFailure; inUse: boolean } | null> {
  if (!spec.address) return null
  try {
    const listener = await bindListener(spec.address, spec)
    listener.close()
    return null
  } catch (error) {
    const { failure, inUse } = bindFailure(error)
    return { error: { worker: spec.name, ...failure, output: '' }, inUse }
  }
}
