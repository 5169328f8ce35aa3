/**
 * Watches a simulated world and throws as soon as one of the policy's promises is broken. It keeps
 * its own books (when a child may be killed, which code was admitted, who asked for what) instead of
 * believing the fleet's; the world tells it everything.
 */
import type { ReloadSummary, Standing } from '../../src/ipc/status.ts'
import type { Action } from '../../src/master/policy/actions.ts'
import { isComing } from '../../src/master/policy/child.ts'
import type { FleetEvent } from '../../src/master/policy/events.ts'
import { type Child, childrenOf, currentOf, type Group, liveSlots } from '../../src/master/policy/fleet.ts'
import { HUNG_GRACE_MS } from '../../src/master/policy/hang.ts'
import type { ReloadRequest, ScaleRequest } from '../../src/master/policy/operations.ts'
import { nextWakeAt } from '../../src/master/policy/reconcile.ts'
import type { Spec } from '../../src/spec/spec.ts'
import { faultOf, rivalry } from './standing.ts'
import { BEAT_MS, type Code, type World } from './world.ts'

/** What the design grants beside each deadline: to a failed child, after a cut, after a SIGKILL. */
const GRACE_MS = 2_000
/** Clocks are sums of fractions. */
const ROUNDING_MS = 0.001
/** A message each way, and a timer that is a little late. */
const TRAVEL_MS = 12

interface Asked {
  readonly request: ReloadRequest
  readonly at: number
  begun: Begun | null
  answers: number
}

/** One reload, from the moment it began. */
interface Begun {
  readonly at: number
  readonly groups: string[]
  readonly asked: Asked[]
  readonly code: Code
  readonly servingBefore: Child[]
  /** Children that were told to drain because of it, and who had taken their place. */
  readonly replaced: { old: Child; successor: Child }[]
  /** Groups that it does not touch. */
  readonly kept: string[]
  /** Its successors that were told to serve, by key, and the groups of those of them that did. */
  readonly successors: Set<number>
  readonly served: Set<string>
  isAnswered: boolean
  /** The first of its successors was told to serve. */
  isAdmitted: boolean
  /** An address or a command stood in its way. */
  isHindered: boolean
}

export class Inspector {
  readonly #world: World
  readonly #killableAt = new Map<number, number>()
  readonly #asked = new Map<number, Asked>()
  readonly #begun: Begun[] = []
  readonly #spawnedIn = new Map<number, Begun | null>()
  readonly #admitted = new Map<string, Set<number>>()
  readonly #counts = { started: 0, 'start-failed': 0, stopped: 0 }
  readonly #scales = new Map<number, number>()
  #servingBefore = new Set<number>()
  #stop: { at: number; endsBy: number } | null = null
  #isForced = false
  /** How reloads ended: a random run that never sees one of them proves nothing about it. */
  readonly results: Record<ReloadSummary['result'], number> = {
    done: 0,
    rejected: 0,
    mixed: 0,
    cancelled: 0,
    failed: 0,
  }

  constructor(world: World) {
    this.#world = world
    for (const name of world.fleet.groups.keys()) this.#admitted.set(name, new Set([1]))
  }

  get hasStarted(): boolean {
    return this.#counts.started > 0
  }

  get hasStopped(): boolean {
    return this.#counts.stopped > 0
  }

  onRequest(request: ReloadRequest): void {
    this.#asked.set(request.id, { request, at: this.#world.now, begun: null, answers: 0 })
  }

  onScale(request: ScaleRequest): void {
    this.#scales.set(request.id, 0)
  }

  noteGateFailure(): void {
    const begun = this.#begun.at(-1)
    if (begun) begun.isHindered = true
  }

  onStop(how: { graceful: boolean; timeoutMs: number | null; force: boolean }): void {
    const { now, fleet } = this.#world
    if (how.force) this.#isForced = true
    const times = [...fleet.groups.values()].map(({ spec }) => spec.stopDelayMs + (how.timeoutMs ?? spec.stopTimeoutMs))
    // groups may have to wait for each other
    const all = times.reduce((sum, ms) => sum + ms + 2 * GRACE_MS, GRACE_MS)
    const endsBy = how.graceful ? Number.POSITIVE_INFINITY : now + all
    const forcedBy = how.force ? now + GRACE_MS : Number.POSITIVE_INFINITY
    this.#stop = { at: this.#stop?.at ?? now, endsBy: Math.min(this.#stop?.endsBy ?? endsBy, forcedBy) }
  }

  beforeEvent(event: FleetEvent): void {
    const { fleet, now } = this.#world
    if ('key' in event) {
      const child = fleet.children.get(event.key)
      if (!child) return
      if (event.type === 'loaded' && child.state === 'starting') this.#noteOwnTime(child, event.specs)
      if (event.type === 'prepared' && child.state === 'starting') this.#killableAt.delete(child.key)
      if (event.type === 'serving' && child.state === 'admitted') this.#noteServing(child)
      const isFailure = event.type === 'failed' || event.type === 'leaving'
      if (isFailure && (isComing(child.state) || child.state === 'serving'))
        this.#killableAt.set(child.key, now + GRACE_MS)
    }
  }

  /** From now on clients reach it: a reload that it belongs to has touched its group. */
  #noteServing(child: Child): void {
    this.#killableAt.delete(child.key)
    this.#begun.find(({ successors }) => successors.has(child.key))?.served.add(child.name)
  }

  /** How long a start may take is what the start file says that is started. */
  #noteOwnTime(child: Child, specs: readonly Spec[]): void {
    const own = specs.find((spec) => spec.name === child.name)
    if (own) this.#killableAt.set(child.key, child.startedAt + own.startTimeoutMs)
  }

  /** The state as `reconcile` finds it. */
  beforeRun(): void {
    const { children } = this.#world.fleet
    this.#servingBefore = new Set([...children.values()].filter((child) => child.state === 'serving').map(keyOf))
  }

  // ---- actions -----------------------------------------------------------------------------------------------------

  onAction(action: Action): void {
    const { now } = this.#world
    this.#expect(this.#counts.stopped === 0, `${action.do} after the end`, action.do.startsWith('answer'))
    switch (action.do) {
      case 'spawn':
        this.#expect(!this.#isEnding, 'spawned while stopping')
        this.#expect(!this.#isUnproven(action.child), 'filled a slot with code that no canary has proven')
        this.#spawnedIn.set(action.child.key, this.#begun.at(-1) ?? null)
        this.#killableAt.set(action.child.key, now + action.spec.startTimeoutMs)
        return
      case 'serve':
        this.#checkAdmission(action.child)
        this.#killableAt.set(action.child.key, now + action.child.startTimeoutMs)
        return
      case 'drain':
        this.#checkDrain(action)
        return
      case 'hung':
        this.#checkHung(action.child)
        return
      case 'kill':
        this.#checkKill(action.child)
        return
      case 'lead':
        this.#expect(
          currentOf(this.#world.fleet, action.child.name, action.child.id) === action.child,
          'leads unserving',
        )
        return
      case 'close-listener':
        this.#checkClose(action.key)
        return
      case 'bind':
        if (this.#world.taken.has(action.key)) this.noteGateFailure()
        return
      case 'open-gate':
      case 'end-gate':
      case 'read-start-file':
        return
      case 'answer-scale':
        for (const id of action.ids) {
          const answers = (this.#scales.get(id) ?? 0) + 1
          this.#scales.set(id, answers)
          this.#expect(answers === 1, `scale ${id} was answered ${answers} times`)
        }
        return
      case 'started':
      case 'start-failed':
        this.#counts[action.do]++
        this.#expect(this.#counts.started + this.#counts['start-failed'] === 1, 'the start ended twice')
        return
      case 'reload-began':
        this.#begin(action)
        return
      case 'answer':
        this.#checkAnswer(action.ids, action.summary, action.completeness !== 'partial')
        return
      case 'reload-served':
        return
      case 'stopped':
        this.#checkStopped()
        return
    }
  }

  /** While the canaries of its group bake, no other slot may be filled: it would load the same code. */
  #isUnproven(child: Child): boolean {
    const { reload } = this.#world.fleet
    if (reload?.phase !== 'canary' || !reload.groups.includes(child.name)) return false
    const serves = [...this.#world.fleet.children.values()].some(
      (one) => one.name === child.name && one.state === 'serving',
    )
    // with nobody left, what is there is better than nothing
    if (!serves && !reload.topology?.added.includes(child.name)) return false
    return reload.strategy === 'atomic' ? child.generation !== reload.next.get(child.name) : child.id !== 0
  }

  #checkClose(key: string): void {
    const { groups } = this.#world.fleet
    const user = [...groups.values()].find((group) => group.listener === key && !group.isLeaving)
    this.#expect(this.#isEnding || !user, `closed ${key}, on which ${user?.name ?? ''} listens`)
  }

  /** The first of a generation is admitted only when the canaries of all groups are prepared and baked. */
  #checkAdmission(child: Child): void {
    const { now, fleet } = this.#world
    const { reload } = fleet
    const begun = this.#begun.at(-1)
    if (reload?.next.get(child.name) !== child.generation) {
      const isKnown = this.#admittedOf(child.name).has(child.generation)
      this.#expect(isKnown, `admitted generation ${child.generation} of no reload`)
      return
    }
    begun?.successors.add(child.key)
    if (!begun || begun.isAdmitted) return
    begun.isAdmitted = true
    const isWatch = begun.asked.every(({ request }) => request.isWatch)
    for (const name of reload?.groups ?? []) {
      const group = fleet.groups.get(name)
      const generation = reload?.next.get(name) ?? 0
      const slots =
        reload?.strategy === 'atomic' ? (group?.slots.slice(0, reload.topology?.counts.get(name)) ?? []) : [{ id: 0 }]
      for (const slot of slots) {
        const canary = childrenOf(fleet, name, slot.id).find(
          (one) => one.generation === generation && (one.state === 'prepared' || one.state === 'admitted'),
        )
        const bakedAt = (canary?.preparedAt ?? Number.POSITIVE_INFINITY) + (isWatch ? 0 : (group?.spec.bakeMs ?? 0))
        this.#expect(
          now >= bakedAt - ROUNDING_MS,
          `${child.name}/${child.id} admitted before the canary ${name}/${slot.id} was baked`,
        )
      }
      this.#admittedOf(name).add(generation)
    }
  }

  #checkDrain(action: Extract<Action, { do: 'drain' }>): void {
    const { fleet, now } = this.#world
    const { child, reason, timeoutMs } = action
    const wasServing = this.#servingBefore.delete(child.key)
    this.#expect(reason !== 'stop' || this.#isEnding, 'drained for a stop that nobody asked for')
    if (wasServing && reason !== 'stop') {
      const successor = currentOf(fleet, child.name, child.id)
      // of more than one that serve the wrong one may be the younger
      const isUnwanted = reason === 'scale' || reason === 'cancelled' || child.id >= this.#groupOf(child).count
      const isSafe = isUnwanted || (successor !== null && successor.key > child.key)
      this.#expect(isSafe, `${child.name}/${child.id} drains (${reason}) and nobody has taken its place`)
      if (successor && reason === 'reload') this.#noteReplaced(child, successor)
    }
    const isCut = !wasServing && reason === 'reload'
    this.#expect(!isCut || child.drainAt !== now, `${child.name}/${child.id} was cut as soon as it began to drain`)
    const endsAt = now + (timeoutMs ?? Number.POSITIVE_INFINITY) + GRACE_MS
    const before = this.#drainedBefore.has(child.key) ? this.#killableAt.get(child.key) : undefined
    this.#drainedBefore.add(child.key)
    this.#killableAt.set(child.key, Math.min(endsAt, before ?? endsAt))
  }

  readonly #drainedBefore = new Set<number>()

  #noteReplaced(old: Child, successor: Child): void {
    const reload = this.#spawnedIn.get(successor.key)
    this.#expect(reload?.groups.includes(old.name) === true, `${old.name}/${old.id} drains for no reload`)
    reload?.replaced.push({ old, successor })
  }

  #checkHung(child: Child): void {
    this.#expect(this.#isHung(child), `${child.name}/${child.id} #${child.key} is not hung`)
    this.#killableAt.set(child.key, this.#world.now + HUNG_GRACE_MS)
  }

  /** It does not answer, and that for long enough; a sign of life may be on its way. */
  #isHung(child: Child): boolean {
    const { now } = this.#world
    const worker = this.#world.workerOf(child.key)
    const limitMs = child.hangTimeoutMs
    const since = worker.hungSince ?? 0
    const isLate = worker.hungUntil !== null && now - worker.hungUntil < TRAVEL_MS
    const isDue = limitMs > 0 && (isLate || (worker.hungSince !== null && now - since >= limitMs - TRAVEL_MS))
    return isDue || !worker.isAlive
  }

  /** A worker that is watched and answers nothing is not taken for one that serves. */
  #checkSilence(): void {
    for (const { child, hungSince } of this.#world.living()) {
      const limitMs = child.hangTimeoutMs
      if (hungSince === null || limitMs === 0 || child.state !== 'serving') continue
      const silentMs = this.#world.now - Math.max(hungSince, child.servingAt ?? 0)
      this.#expect(silentMs <= limitMs + BEAT_MS + TRAVEL_MS, `#${child.key} is hung and counts as serving`)
    }
  }

  #checkKill(child: Child): void {
    const { now } = this.#world
    const due = this.#killableAt.get(child.key) ?? Number.POSITIVE_INFINITY
    this.#expect(
      this.#isForced || now >= due - ROUNDING_MS || this.#isHung(child),
      `killed ${child.name}/${child.id} #${child.key} before ${due}`,
    )
    this.#killableAt.set(child.key, now + GRACE_MS)
  }

  // ---- reloads -----------------------------------------------------------------------------------------------------

  #begin({ ids, groups }: Extract<Action, { do: 'reload-began' }>): void {
    const { fleet, code } = this.#world
    this.#expect(!this.#isEnding, 'a reload began while stopping')
    const asked = ids.map((id) => this.#asked.get(id)).filter((one) => one !== undefined)
    this.#expect(asked.length > 0, 'a reload began that nobody asked for')
    const servingBefore = [...fleet.children.values()].filter(
      (child) => child.state === 'serving' && groups.includes(child.name),
    )
    const kept = [...fleet.groups.values()].filter((group) => !group.isLeaving).map(nameOf)
    const begun: Begun = {
      at: this.#world.now,
      ...{ groups, asked, code, servingBefore, replaced: [], isAnswered: false, isAdmitted: false, isHindered: false },
      kept: kept.filter((name) => !groups.includes(name)),
      successors: new Set(),
      served: new Set(),
    }
    for (const one of asked) one.begun = begun
    this.#begun.push(begun)
  }

  #checkAnswer(ids: readonly number[], summary: ReloadSummary, isFinal: boolean): void {
    if (isFinal) this.results[summary.result]++
    const asked = ids.map((id) => this.#asked.get(id)).filter((one) => one !== undefined)
    this.#expect(asked.length === ids.length, 'answered what nobody asked')
    for (const one of asked) this.#expect(++one.answers === 1, `request ${one.request.id} was answered twice`)
    const begun = asked[0]?.begun ?? null
    this.#expect(
      asked.every((one) => one.begun === begun),
      'one answer for two reloads',
    )
    if (summary.result === 'cancelled') this.#expect(this.#isEnding, 'cancelled without a stop')
    else this.#expect(begun !== null || asked.length === 0, 'answered before it began')
    const known = begun ?? (isFinal ? this.#begun.find((one) => !one.isAnswered && this.#isOf(one, summary)) : null)
    if (!known || !isFinal) return
    known.isAnswered = true
    this.#checkFinal(known, summary, asked)
  }

  /** All who asked have been answered already: it is known by the time at which it began. */
  #isOf(begun: Begun, summary: ReloadSummary): boolean {
    const beganAt = this.#world.now - summary.durationMs
    return begun.asked.every((one) => one.answers > 0) && Math.abs(begun.at - beganAt) <= 0.5 + ROUNDING_MS
  }

  #checkFinal(begun: Begun, summary: ReloadSummary, asked: readonly Asked[]): void {
    this.#checkError(begun, summary)
    this.#checkRows(begun, summary)
    for (const row of summary.standing) this.#checkStanding(begun, row)
    if (summary.result === 'done') for (const one of asked) this.#checkDone(one, begun)
    if (summary.result === 'rejected') this.#checkRejected(begun)
    this.#checkTruth(begun, summary)
  }

  #checkError(begun: Begun, summary: ReloadSummary): void {
    const isBad = summary.result === 'rejected' || summary.result === 'mixed'
    this.#expect((summary.error !== null) === isBad, `${summary.result} with error ${JSON.stringify(summary.error)}`)
    const { kept } = begun
    this.#expect(JSON.stringify(summary.kept) === JSON.stringify(kept), `kept ${summary.kept} instead of ${kept}`)
  }

  /** A row for each child that had to leave for its successor, and one for each slot that was empty, no other. */
  #checkRows(begun: Begun, summary: ReloadSummary): void {
    if (summary.result === 'cancelled') return
    const due = begun.replaced.map(({ old, successor }) => `${old.name}/${old.id} ${old.pid} → ${successor.pid}`).sort()
    const rows = summary.replaced
      .filter((row) => row.oldPid !== null)
      .map((row) => `${row.name}/${row.id} ${row.oldPid} → ${row.newPid}`)
      .sort()
    this.#expect(rows.join() === due.join(), `replaced [${rows}] instead of [${due}]`)
    const slots = summary.replaced.map((row) => `${row.name}/${row.id}`)
    for (const row of summary.replaced.filter((candidate) => candidate.oldPid === null)) {
      const serving = [...this.#world.fleet.children.values()].find((child) => child.pid === row.newPid)
      this.#expect(serving?.name === row.name && serving.id === row.id, `${row.newPid} fills ${row.name}/${row.id}`)
      const twice = slots.filter((slot) => slot === `${row.name}/${row.id}`).length
      this.#expect(twice === 1, `${row.name}/${row.id} was empty and has ${twice} rows`)
    }
  }

  /** What it says of who serves is so now, and whoever has served is not forgotten. */
  #checkStanding(begun: Begun, { name, serving, fresh, hasServed }: Standing): void {
    const living = [...this.#world.fleet.children.values()].filter((child) => child.name === name)
    const count = this.#world.fleet.groups.get(name)?.count ?? 0
    const places = new Set(living.filter(({ state, id }) => state === 'serving' && id < count).map(({ id }) => id))
    this.#expect(serving === places.size, `${serving} of ${name} are said to serve, and ${places.size} do`)
    this.#expect(hasServed === begun.served.has(name), `${name} is said to have served: ${hasServed}`)
    const admitted = [...begun.successors].map((key) => this.#world.workerOf(key).child)
    const isFresh = (id: number): boolean => admitted.some((child) => child.name === name && child.id === id)
    this.#expect(fresh.every(isFresh), `${name}/${fresh} are said to run the new code`)
  }

  /** Done means: nobody runs any more what was loaded before the request. */
  #checkDone(asked: Asked, begun: Begun): void {
    const { fleet } = this.#world
    const { groups } = asked.request
    const isFull = begun.asked.some(({ request }) => request.groups === null)
    const named = (groups ?? begun.groups).filter((name) => !isFull || begun.groups.includes(name))
    for (const name of named) this.#expect(begun.groups.includes(name), `${name} was asked for and not reloaded`)
    for (const child of fleet.children.values())
      if (named.includes(child.name) && child.startedAt < asked.at)
        throw this.#world.wrong(`done, and ${child.name}/${child.id} #${child.key} of before is still there`)
  }

  /** Rejected means: nothing was touched. */
  #checkRejected(begun: Begun): void {
    this.#expect(begun.replaced.length === 0, 'rejected, and an old worker was told to leave')
    const isAtomic = begun.asked.some(({ request }) => request.strategy === 'atomic')
    this.#expect(begun.served.size === 0 || isAtomic, 'rejected, and new code had served')
    if (this.#begun.at(-1) !== begun || this.#isEnding) return
    for (const child of begun.servingBefore) {
      const worker = this.#world.workerOf(child.key)
      const isScaled = child.drainReason === 'scale'
      const isUndisturbed =
        !worker.isFaulted && worker.code?.kind === 'good' && child.replaceWanted === null && !isScaled
      this.#expect(!isUndisturbed || child.state === 'serving', `rejected, and #${child.key} serves no more`)
    }
  }

  /** With the same code on disk all the time, and nothing done to its workers, there is one right answer. */
  #checkTruth(begun: Begun, summary: ReloadSummary): void {
    if (summary.result === 'cancelled' || begun.code !== this.#world.code || begun.groups.length === 0) return
    if (begun.isHindered || summary.error?.message.includes('describes no worker')) return
    const names = begun.code.specs.map((spec) => spec.name)
    // a group that is gone ends with a reload of everything, and refuses one of its name
    if (!begun.groups.every((name) => names.includes(name))) return
    const successors = [...this.#world.workers.values()].filter(
      (worker) => this.#spawnedIn.get(worker.child.key) === begun,
    )
    if (successors.some((worker) => worker.isFaulted)) return
    const { kind } = begun.code
    // it may have changed over before the first of them died, or not
    if (kind === 'dies-later') return
    const expected = kind === 'good' ? 'done' : 'rejected'
    this.#expect(summary.result === expected, `the code was ${kind}, and the reload is ${summary.result}`)
  }

  // ---- at any time -------------------------------------------------------------------------------------------------

  afterRun(): void {
    const { fleet } = this.#world
    const open = this.#begun.filter((begun) => !begun.isAnswered).length
    const known = fleet.settling.filter(({ kind }) => kind === 'reload').length + (fleet.reload ? 1 : 0)
    this.#expect(open === known, `${open} reloads are not answered, ${known} are under way`)
    for (const group of fleet.groups.values()) this.#expectNone(faultOf(group, this.#world))
  }

  afterStep(): void {
    this.#checkSilence()
    this.#expectNone(rivalry(this.#world.living()))
    const { now } = this.#world
    if (this.#stop && this.#counts.stopped === 0)
      this.#expect(now <= this.#stop.endsBy, `still stopping at ${now}, asked at ${this.#stop.at}`)
  }

  // ---- at rest -----------------------------------------------------------------------------------------------------

  /** Good code, no operation, and enough time. */
  checkConverged(): void {
    const { fleet, now } = this.#world
    this.#expect(fleet.phase === 'running', `the fleet is ${fleet.phase}`)
    for (const group of fleet.groups.values())
      for (const slot of liveSlots(group)) {
        const children = childrenOf(fleet, group.spec.name, slot.id)
        const text = children.map((child) => `${child.state} g${child.generation}`).join(', ')
        const isRight = children.length === 1 && children[0]?.state === 'serving'
        this.#expect(isRight, `${group.spec.name}/${slot.id} at rest: ${text}`)
        this.#expect(
          children[0]?.generation === slot.target,
          `${group.spec.name}/${slot.id} wants ${slot.target}: ${text}`,
        )
      }
    this.#checkAllAnswered()
    this.#expect(nextWakeAt(fleet, now) === null, 'at rest, and a timer is set')
  }

  #checkStopped(): void {
    this.#counts.stopped++
    this.#expect(this.#world.living().length === 0, 'stopped, and a worker lives')
    this.#expect(this.#isEnding, 'stopped, and nobody asked')
  }

  /** Everything has ended. */
  checkEnded(): void {
    this.#expect(this.#counts.stopped === 1, `'stopped' came ${this.#counts.stopped} times`)
    this.#checkAllAnswered()
  }

  #checkAllAnswered(): void {
    for (const one of this.#asked.values()) this.#expect(one.answers === 1, `request ${one.request.id} has no answer`)
    for (const [id, answers] of this.#scales) this.#expect(answers === 1, `scale ${id} has no answer`)
  }

  get #isEnding(): boolean {
    return this.#stop !== null || this.#counts['start-failed'] > 0
  }

  #admittedOf(name: string): Set<number> {
    const admitted = this.#admitted.get(name) ?? new Set<number>()
    this.#admitted.set(name, admitted)
    return admitted
  }

  #groupOf(child: Child): Group {
    const group = this.#world.fleet.groups.get(child.name)
    if (!group) throw this.#world.wrong(`no group ${child.name}`)
    return group
  }

  #expectNone(fault: string | null): void {
    if (fault !== null) throw this.#world.wrong(fault)
  }

  #expect(holds: boolean, otherwise: string, exempt = false): void {
    if (!holds && !exempt) throw this.#world.wrong(otherwise)
  }
}

function keyOf(child: Child): number {
  return child.key
}

function nameOf(group: Group): string {
  return group.spec.name
}
