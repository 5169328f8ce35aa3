/**
 * How a report from a worker, an exit or a request changes what the master knows. Called by the
 * supervisor before each `reconcile`; no clock and no I/O: every time comes with the event.
 */
import type { DrainReport, ReplaceReason } from '../../ipc/messages.ts'
import type { Failure } from '../../ipc/status.ts'
import type { DescriptorUse } from '../../os/descriptors.ts'
import { disagreementOf } from '../../spec/difference.ts'
import type { Settings } from '../../spec/settings.ts'
import type { Spec } from '../../spec/spec.ts'
import { backoffMs, RESET_AFTER_MS } from './backoff.ts'
import { type ChildState, isComing } from './child.ts'
import {
  type Child,
  discharge,
  type Fleet,
  LEAVE_TIMEOUT_MS,
  leavesEarly,
  move,
  slotKey,
  slotOf,
  stopFaultOf,
} from './fleet.ts'
import { noteAlive, noteAsked, noteSleep } from './hang.ts'
import type { Reading, Reload, Request } from './operations.ts'
import { holderAmong, keepAddress } from './topology.ts'

/** What comes from outside, with the time it came. */
export type FleetEvent =
  | { type: 'loaded'; key: number; specs: Spec[]; settings: Settings; version: string }
  | { type: 'prepared'; key: number }
  | { type: 'serving'; key: number }
  | { type: 'failed'; key: number; failure: Failure; output: string }
  | { type: 'leaving'; key: number; failure: Failure; timeoutMs: number }
  | { type: 'resigned'; key: number }
  /** It has closed its channel, takes its master for dead, and will be gone after `timeoutMs`. */
  | { type: 'parted'; key: number; failure: Failure; timeoutMs: number }
  | { type: 'replace'; key: number; why: ReplaceReason; detail: string | null }
  /** Its file descriptors are used up but for a reserve, and it does not listen; `use` null: it has room again. */
  | { type: 'full'; key: number; use: DescriptorUse | null }
  | { type: 'drained'; key: number; report: DrainReport }
  /** A sign of life. */
  | { type: 'alive'; key: number; isDebugged: boolean }
  /** They were asked for a sign of life; of those that owe one, these processes are stopped. */
  | { type: 'beat'; asked: number[]; stopped: number[] }
  /** The master itself did not run for so long. */
  | { type: 'slept'; ms: number }
  | { type: 'output'; key: number; text: string }
  /** `chance` 0 to 1 spreads the backoff; `at` is the date for `lastExit`. */
  | { type: 'exit'; key: number; code: number | null; signal: string | null; chance: number; at: string }
  | { type: 'request'; request: Request }
  /** A listener is held, or cannot be; `inUse`: somebody has its address. */
  | { type: 'bound'; listener: string; failure: Failure | null; inUse: boolean }
  /** The command that must succeed before a reload has ended. `output` is the last that it printed. */
  | { type: 'gate'; reload: number; failure: Failure | null; output: string }
  /** A process that does nothing else has read the start file, or could not. */
  | { type: 'read'; reload: number; reading: Reading | null; failure: Failure | null; output: string }
  | { type: 'stop'; graceful: boolean; timeoutMs: number | null; force: boolean }

/** Changes the data as the event says. An event of a child that is not known is dropped. */
export function apply(fleet: Fleet, event: FleetEvent, now: number): void {
  switch (event.type) {
    case 'request':
      fleet.waiting.push(event.request)
      return
    case 'beat':
      noteAsked(fleet, event.asked, event.stopped, now)
      return
    case 'slept':
      noteSleep(fleet, event.ms, now)
      return
    case 'stop':
      applyStop(fleet, event, now)
      return
    case 'bound':
      applyBound(fleet, event)
      return
    case 'gate':
      applyGate(fleet, event)
      return
    case 'read':
      applyRead(fleet, event)
      return
    default: {
      const child = fleet.children.get(event.key)
      if (child) applyReport(fleet, child, event, now)
    }
  }
}

// ---- what the master itself has done -------------------------------------------------------------------------------

function applyBound(fleet: Fleet, event: Extract<FleetEvent, { type: 'bound' }>): void {
  const { listener, failure } = event
  if (!failure) fleet.listeners.add(listener)
  const { reload } = fleet
  // bound for a reload that is over: nobody needs it, and it is closed
  if (!reload?.binding.delete(listener)) return
  if (!failure) return
  const running = [...fleet.groups.values()].filter((group) => !reload.topology?.added.includes(group.name))
  const own = [...running.map((group) => group.spec.address), fleet.conditions.settings.metrics]
  const bind = reload.topology?.binds.find(({ key }) => key === listener)
  const address = bind?.spec.address
  const holder = event.inUse && address ? holderAmong(address, own) : null
  if (reload.topology && holder !== null)
    dropAdded(fleet, keepAddress(reload.topology, listener, running, `this master holds ${holder}`))
  else reload.failure ??= { worker: bind?.spec.name ?? '', ...failure, output: '' }
  reload.failure ??= reload.topology?.impossible ?? null
}

/** A group that cannot come after all: what was started for it ends. */
function dropAdded(fleet: Fleet, names: readonly string[]): void {
  const { reload } = fleet
  if (!reload) return
  reload.groups = reload.groups.filter((name) => !names.includes(name))
  for (const name of names) {
    reload.next.delete(name)
    const group = fleet.groups.get(name)
    if (group) Object.assign(group, { isLeaving: true, count: 0 })
  }
}

function applyGate({ reload }: Fleet, { reload: key, failure, output }: Extract<FleetEvent, { type: 'gate' }>): void {
  if (reload?.key !== key || reload.phase !== 'gate') return
  if (failure) reload.failure ??= { worker: 'preReload', ...failure, output }
  else reload.isGateOpen = true
}

function applyRead(fleet: Fleet, event: Extract<FleetEvent, { type: 'read' }>): void {
  const { reload } = fleet
  if (reload?.key !== event.reload || reload.phase !== 'canary') return
  if (event.reading) {
    reload.read ??= event.reading
    compareReadings(fleet, reload)
  } else if (event.failure) reload.unread ??= { worker: 'start file', ...event.failure, output: event.output }
}

function applyStop(fleet: Fleet, event: Extract<FleetEvent, { type: 'stop' }>, now: number): void {
  if (fleet.phase === 'stopped') return
  fleet.phase = 'stopping'
  const { graceful, timeoutMs, force } = event
  const { stopping } = fleet
  if (!stopping) {
    fleet.stopping = { askedAt: now, orderedAt: now, graceful, timeoutMs, force }
    return
  }
  stopping.force ||= force
  // a second stop without a word about time adds nothing, unless the first had no deadline at all
  if (graceful || (timeoutMs === null && !stopping.graceful)) return
  Object.assign(stopping, { orderedAt: now, graceful, timeoutMs })
}

type Report = Extract<FleetEvent, { key: number }>

// ---- what a worker says --------------------------------------------------------------------------------------------

function applyReport(fleet: Fleet, child: Child, event: Report, now: number): void {
  switch (event.type) {
    case 'loaded':
      noteOwnTimes(child, event.specs)
      noteSpecs(fleet, child, event)
      return
    case 'prepared':
      if (move(child, 'prepared')) {
        child.preparedAt = now
        child.deadlineAt = null
      }
      return
    case 'serving':
      if (move(child, 'serving')) {
        child.servingAt = now
        child.deadlineAt = null
        noteServed(fleet, child)
      }
      return
    case 'failed':
      child.output = event.output
      applyFailure(fleet, child, event, now)
      return
    case 'leaving':
      applyFailure(fleet, child, event, now)
      return
    case 'parted':
      child.hasParted = true
      applyFailure(fleet, child, event, now)
      // nobody can hurry it any more, or ask whether it hangs
      child.deadlineAt = Math.min(
        child.deadlineAt ?? Number.POSITIVE_INFINITY,
        now + event.timeoutMs + LEAVE_TIMEOUT_MS,
      )
      return
    case 'resigned':
      child.resigned = true
      return
    case 'replace':
      if (child.replaceWanted === null) child.replaceWantedAt = now
      // one that is unhealthy is replaced even where recycling has to wait
      if (event.why === 'unhealthy') child.replaceWanted = event.why
      else child.replaceWanted ??= event.why
      return
    case 'alive':
      noteAlive(child, event.isDebugged)
      return
    case 'full':
      child.full = event.use
      return
    case 'drained':
      child.report = event.report
      return
    case 'output':
      child.output = event.text
      return
    case 'exit':
      applyExit(fleet, child, event, now)
      return
  }
}

/** From now on clients reach it: whatever becomes of its reload, its code has run. */
function noteServed({ groups, reload }: Fleet, { name, generation }: Child): void {
  const group = groups.get(name)
  if (group) group.servedGeneration = Math.max(group.servedGeneration, generation)
  if (reload?.next.get(name) === generation) reload.touched.add(name)
}

/** How long a start and a silence may take is what the start file says that is started. */
function noteOwnTimes(child: Child, specs: readonly Spec[]): void {
  const own = specs.find((spec) => spec.name === child.name)
  if (!own || child.state !== 'starting') return
  child.startTimeoutMs = own.startTimeoutMs
  child.hangTimeoutMs = own.hangTimeoutMs
  child.deadlineAt = child.startedAt + own.startTimeoutMs
}

/** The first successor of a reload that can tells what the start file says now; the others must agree. */
function noteSpecs(fleet: Fleet, child: Child, { specs, settings, version }: Reading): void {
  const { reload } = fleet
  child.specs = specs
  if (!reload || reload.next.get(child.name) !== child.generation) return
  if (child.isUnbiased) reload.read ??= { specs, settings, version }
  compareReadings(fleet, reload)
}

function compareReadings(fleet: Fleet, { read, next }: Reload): void {
  if (!read) return
  for (const child of fleet.children.values()) {
    if (!child.specs || next.get(child.name) !== child.generation) continue
    // what the others read may be made of the env that they have been given
    if (child.isUnbiased) child.disagreement = disagreementOf(read.specs, child.specs)
  }
}

/** It failed, or crashed, by its own report; its exit follows. The slot counts as empty from now on. */
function applyFailure(
  fleet: Fleet,
  child: Child,
  { failure, timeoutMs = LEAVE_TIMEOUT_MS }: { failure: Failure; timeoutMs?: number },
  now: number,
): void {
  const { state } = child
  if (!move(child, state === 'serving' ? 'leaving' : 'failed')) return
  child.failure = failure
  child.drainAt = now
  child.drainReason = 'crash'
  child.deadlineAt = now + timeoutMs + LEAVE_TIMEOUT_MS
  countFailure(fleet, child, { now, chance: 0.5, served: state === 'serving' })
}

function applyExit(fleet: Fleet, child: Child, event: Extract<FleetEvent, { type: 'exit' }>, now: number): void {
  const { state } = child
  child.wasKilled = state === 'killed'
  child.leftEarly = leavesEarly(child)
  if (!move(child, 'exit')) return
  const group = fleet.groups.get(child.name)
  if (group?.leaderKey === child.key) group.leaderKey = null
  const slot = slotOf(fleet, child)
  if (slot)
    slot.lastExit = { code: event.code, signal: event.signal, reason: exitReason(child, state, event), at: event.at }
  const byItself = child.drainReason === null
  if (byItself) {
    child.failure ??= {
      message: unexpectedExit(child, state, event),
      stack: unexpectedExit(child, state, event),
    }
    countFailure(fleet, child, { now, chance: event.chance, served: state === 'serving' })
  }
  discharge(fleet, child)
  noteReplaced(fleet, child, now)
}

/** An old child of a reload is gone: its line in that reload's summary. */
function noteReplaced(fleet: Fleet, old: Child, now: number): void {
  const settling = fleet.settling.find((operation) => operation.leaving.has(old.key)) ?? fleet.reload
  const { successor } = old
  if (settling?.kind !== 'reload' || !successor) return
  const reload = settling
  reload.summary.replaced.push({
    name: old.name,
    id: old.id,
    oldPid: old.pid,
    newPid: successor.pid,
    startMs: Math.round((successor.preparedAt ?? now) - successor.startedAt),
    drainMs: Math.round(now - (old.drainAt ?? now)),
    connectionsMoved: 0,
    connectionsCut: old.report?.connectionsCut ?? 0,
    killed: old.wasKilled,
    leftEarly: old.leftEarly,
    stopFault: stopFaultOf(old),
  })
}

function countFailure(fleet: Fleet, child: Child, how: { now: number; chance: number; served: boolean }): void {
  const slot = slotOf(fleet, child)
  if (!slot) return
  const stable = how.served && child.servingAt !== null && how.now - child.servingAt >= RESET_AFTER_MS
  if (how.served) slot.restarts++
  slot.lastFailure = {
    worker: slotKey(child.name, child.id),
    message: child.failure?.message ?? 'it ended without a word',
    stack: child.failure?.stack ?? '',
    output: child.output,
  }
  // a straggler of another generation says nothing about the code that the slot is to run
  if (child.generation !== slot.target) return
  slot.tries++
  slot.failures = stable ? 1 : slot.failures + 1
  slot.retryAt = how.now + backoffMs(slot.failures, how.chance)
}

/** A child that was hung is not waited for: counted now, before its exit. */
export function countHang(fleet: Fleet, child: Child, now: number): void {
  countFailure(fleet, child, { now, chance: 0.5, served: true })
}

/** A child that the master gives up (a deadline, another start file): counted now, before its exit. */
export function failByMaster(fleet: Fleet, child: Child, message: string, now: number): void {
  child.failure = { message, stack: message }
  child.drainReason = 'crash'
  countFailure(fleet, child, { now, chance: 0.5, served: false })
}

function unexpectedExit(child: Child, state: ChildState, exit: { code: number | null; signal: string | null }): string {
  const how = exit.signal ? `was ended by ${exit.signal}` : `exited with code ${exit.code ?? 'unknown'}`
  const when = isComing(state) ? ' before it served' : ''
  return child.pid > 0 ? `the process ${how}${when}` : 'the process could not be started'
}

function exitReason(child: Child, state: ChildState, exit: { code: number | null; signal: string | null }): string {
  if (child.failure) return child.failure.message
  if (state === 'killed') return 'killed at the deadline'
  if (child.drainReason !== null) return child.drainReason
  return unexpectedExit(child, state, exit)
}
