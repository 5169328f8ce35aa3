/**
 * A worker process as the master sees it, without a process: it boots, reports, obeys and leaves as
 * the real one does, at random moments. Reports and orders keep their order, as on a real channel;
 * a worker that hangs does neither. Made by the world for each `spawn`.
 */
import type { ReplaceReason, StopReason } from '../../src/ipc/messages.ts'
import type { FleetEvent } from '../../src/master/policy/events.ts'
import type { Child } from '../../src/master/policy/fleet.ts'
import { bakeMsOf } from '../../src/master/policy/succession.ts'
import { SETTINGS } from './specs.ts'
import type { Code, World } from './world.ts'

export type Order =
  | { type: 'serve' }
  | { type: 'lead' }
  | { type: 'ping' }
  | { type: 'drain'; reason: StopReason; timeoutMs: number | null }

/** Everything that a worker reports about itself; the world adds whose report it is. */
type Report = FleetEvent extends infer Event ? (Event extends { key: number } ? Omit<Event, 'key'> : never) : never

const CRASH_DRAIN_MS = 2_000

export class SimWorker {
  readonly #world: World
  readonly child: Child
  readonly spawnedAt: number
  phase: 'booting' | 'prepared' | 'serving' | 'leaving' | 'gone' = 'booting'
  /** What it loaded; null until it has. */
  code: Code | null = null
  isHung = false
  /** Since when it is, and until when it was; the other is null. */
  hungSince: number | null = null
  hungUntil: number | null = null
  isLeader = false
  /** Something was done to it from outside. */
  isFaulted = false
  /** What it still had to report died with it. */
  #isMute = false
  #lastReportAt = 0
  #lastOrderAt = 0
  /** What waits for its event loop. */
  readonly #held: (() => void)[] = []

  constructor(world: World, child: Child) {
    this.#world = world
    this.child = child
    this.spawnedAt = world.now
  }

  get isAlive(): boolean {
    return this.phase !== 'gone'
  }

  boot(): void {
    this.#later(this.#random(20, 300), () => this.#load())
  }

  /** A fork that failed: nothing but its exit is ever heard of. */
  failToFork(): void {
    this.isFaulted = true
    this.#end(null, null)
  }

  // ---- what it does by itself --------------------------------------------------------------------------------------

  #load(): void {
    if (this.phase !== 'booting') return
    const code = this.#world.code
    this.code = code
    this.#report({ type: 'loaded', version: '1.0.0', specs: code.specs, settings: SETTINGS })
    if (!code.specs.some((spec) => spec.name === this.child.name)) {
      this.#fail('the start file describes it no more')
      return
    }
    switch (code.kind) {
      case 'throws':
        this.#later(this.#random(0, 50), () => this.#fail(`code ${code.version} throws`))
        return
      case 'exits':
        this.#report({ type: 'output', text: `code ${code.version} leaves` })
        this.#later(this.#random(0, 20), () => this.#end(code.version % 2, null))
        return
      case 'hangs':
        this.isHung = true
        return
      case 'waits':
        return
      case 'dies-in-bake':
        if (this.#bakeMs() === 0) this.#fail(`code ${code.version} dies`)
        else this.#later(this.#random(0, 150), () => this.#prepare(code))
        return
      case 'good':
      case 'cannot-listen':
      case 'dies-later':
        this.#later(this.#random(0, 150), () => this.#prepare(code))
        return
    }
  }

  #prepare(code: Code): void {
    if (this.phase !== 'booting') return
    this.phase = 'prepared'
    this.#report({ type: 'prepared' })
    if (code.kind !== 'dies-in-bake') return
    this.#later(this.#random(0, this.#bakeMs() / 2), () => this.uncaught(`code ${code.version} dies`))
  }

  /** How long the master will look at it before it may serve. */
  #bakeMs(): number {
    const { reload, groups } = this.#world.fleet
    const group = groups.get(this.child.name)
    return group ? bakeMsOf(reload, group) : 0
  }

  #fail(message: string): void {
    if (this.phase === 'gone') return
    this.#report({ type: 'failed', failure: { message, stack: `${message}\n    at start.ts:1` }, output: 'last line' })
    this.phase = 'leaving'
    this.#later(this.#random(0, 5), () => this.#end(1, null))
  }

  // ---- what is done to it ------------------------------------------------------------------------------------------

  /** An uncaught exception: a failed start, or it resigns, finishes what it has and leaves. */
  uncaught(message: string): void {
    if (this.isHung || this.phase === 'gone' || this.phase === 'leaving') return
    if (this.phase === 'booting') {
      this.#fail(message)
      return
    }
    this.phase = 'leaving'
    this.isLeader = false
    this.#report({ type: 'leaving', failure: { message, stack: message }, timeoutMs: 2_000 })
    this.#report({ type: 'resigned' })
    this.#drain(CRASH_DRAIN_MS, 1)
  }

  /** SIGKILL from anywhere, a segmentation fault: no last word. */
  die(code: number | null, signal: string | null): void {
    if (this.phase === 'gone') return
    this.#isMute = this.#world.random.chance(0.5)
    this.#end(code, signal)
  }

  hang(): void {
    if (this.isHung) return
    this.isHung = true
    this.hungSince = this.#world.now
  }

  /** Its event loop turns again, and does all that waits for it. */
  comeBack(): void {
    if (this.hungSince === null || !this.isAlive) return
    this.isHung = false
    this.hungSince = null
    this.hungUntil = this.#world.now
    for (const run of this.#held.splice(0)) if (this.isAlive) run()
  }

  /** A SIGTERM of its own, or its last request. */
  wantReplacement(why: ReplaceReason): void {
    if (!this.isHung && (this.phase === 'prepared' || this.phase === 'serving'))
      this.#report({ type: 'replace', why, detail: null })
  }

  // ---- what it is told ---------------------------------------------------------------------------------------------

  order(order: Order): void {
    this.#lastOrderAt = Math.max(this.#lastOrderAt, this.#world.now + this.#latency())
    this.#world.schedule(this.#lastOrderAt, () => {
      this.#run(() => this.#obey(order))
    })
  }

  #obey(order: Order): void {
    switch (order.type) {
      case 'serve':
        if (this.phase === 'prepared') this.#listen()
        return
      case 'lead':
        if (this.phase === 'serving') this.isLeader = true
        return
      case 'ping':
        this.#report({ type: 'alive', isDebugged: false })
        return
      case 'drain':
        this.#leave(order.timeoutMs)
        return
    }
  }

  #listen(): void {
    if (this.code?.kind === 'cannot-listen') {
      this.#fail(`code ${this.code.version} cannot listen`)
      return
    }
    this.#later(this.#random(0, 20), () => {
      if (this.phase !== 'prepared') return
      this.phase = 'serving'
      this.#report({ type: 'serving' })
      if (this.code?.kind !== 'dies-later') return
      const text = `code ${this.code.version} dies`
      const isSudden = this.#world.random.chance(0.5)
      this.#later(this.#random(0, 500), () => (isSudden ? this.#end(1, null) : this.uncaught(text)))
    })
  }

  #leave(timeoutMs: number | null): void {
    const { phase } = this
    if (phase === 'leaving') {
      if (timeoutMs !== null) this.#later(timeoutMs, () => this.#finish(0, 1))
      return
    }
    this.phase = 'leaving'
    this.isLeader = false
    this.#report({ type: 'resigned' })
    if (phase === 'booting') this.#later(0, () => this.#end(0, null))
    else this.#drain(timeoutMs, 0)
  }

  /** Most have little to finish; some never would. */
  #drain(timeoutMs: number | null, code: number): void {
    const { random } = this.#world
    const needsMs = random.chance(0.7) ? random.int(0, 60) : random.int(0, 12_000)
    this.#later(needsMs, () => this.#finish(code, 0))
    if (timeoutMs !== null) this.#later(timeoutMs, () => this.#finish(code, 2))
  }

  #finish(code: number, connectionsCut: number): void {
    if (this.phase === 'gone') return
    this.#report({ type: 'drained', report: { connectionsCut, cut: [], hookUnfinished: false, hookError: null } })
    this.#end(code, null)
  }

  kill(): void {
    this.#world.schedule(this.#world.now + this.#latency(), () => {
      if (this.isAlive) this.#end(null, 'SIGKILL')
    })
  }

  // ---- the channel -------------------------------------------------------------------------------------------------

  #report(report: Report): void {
    this.#lastReportAt = Math.max(this.#lastReportAt, this.#world.now + this.#latency())
    this.#world.schedule(this.#lastReportAt, () => {
      if (!this.#isMute) this.#world.dispatch({ ...report, key: this.child.key } as FleetEvent)
    })
  }

  #end(code: number | null, signal: string | null): void {
    if (this.phase === 'gone') return
    this.phase = 'gone'
    this.isLeader = false
    const at = Math.max(this.#lastReportAt, this.#world.now + this.#latency())
    const chance = this.#world.random.next()
    const exit = { type: 'exit', key: this.child.key, code, signal, chance, at: `t=${this.#world.now}` } as const
    this.#world.schedule(at, () => this.#world.dispatch(exit))
  }

  #later(ms: number, run: () => void): void {
    this.#world.schedule(this.#world.now + ms, () => {
      this.#run(run)
    })
  }

  #run(run: () => void): void {
    if (!this.isAlive) return
    if (this.isHung) this.#held.push(run)
    else run()
  }

  #latency(): number {
    return this.#world.random.next() * 4
  }

  #random(min: number, max: number): number {
    return min + this.#world.random.next() * (max - min)
  }
}
