/**
 * A storm: one fleet after another, and on each random operations, one step after another, under strict
 * load. What must be true is checked all the time and after each step. Called by `main` and by the tests.
 * What breaks ends it with everything that is needed to see why; the fleet's directory is kept.
 */
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Lookout } from '../helpers/listening.ts'
import { Random } from '../unit/random.ts'
import { type GroupName, LISTENING } from './code.ts'
import { Fleet, KINDS, type Kind } from './fleet.ts'
import { Step } from './step.ts'
import { Deck, type Draw } from './table.ts'
import { type Lost, Traffic } from './traffic.ts'
import { noAllowance, Witness } from './witness.ts'

export interface StormOptions {
  seed: number
  kind: Kind
  steps: number
  /** In milliseconds of `performance.now()`: no step begins later. */
  endsAt?: number
  only?: string | null
  /** Ends the fleet, whatever the storm is at. */
  signal?: AbortSignal
  say?(line: string): void
}

/** What one fleet has gone through. */
export interface Weathered {
  steps: number
  answered: number
  /** Requests that went with processes which were made to die. */
  lost: number
  /** Empty: everything was as it must be. */
  broken: string[]
}

const LOOK_EVERY_MS = 300
const SETTLE_TIMEOUT_MS = 60_000
const LOG_TAIL = 60

/** The kind of fleet that a seed begins with, when none is asked for. */
export function kindOf(seed: number): Kind {
  return new Random(seed).pick(KINDS)
}

/** One fleet from its start to its stop. Nothing of it is alive afterwards. */
export async function weather(options: StormOptions): Promise<Weathered> {
  const storm = new Storm(options)
  const abort = (): void => void storm.abort()
  options.signal?.addEventListener('abort', abort)
  try {
    await storm.run()
  } finally {
    options.signal?.removeEventListener('abort', abort)
    await storm.end()
  }
  return storm.result
}

class Storm {
  readonly result: Weathered = { steps: 0, answered: 0, lost: 0, broken: [] }
  readonly #options: StormOptions
  readonly #fleet: Fleet
  readonly #deck: Deck
  readonly #witness = new Witness()
  readonly #history: string[] = []
  readonly #lost: Lost[] = []
  /** Whoever was made to die, ever: a client may hear of it when the next step has begun. */
  readonly #dead = new Set<number>()
  #lookouts: Lookout[] = []
  #isLooking = true

  constructor(options: StormOptions) {
    this.#options = options
    this.#fleet = new Fleet(options.kind)
    this.#deck = new Deck(new Random(options.seed), options.kind, options.only ?? null)
  }

  async run(): Promise<void> {
    await this.#fleet.start()
    const traffic = await this.#traffic()
    const looking = this.#look()
    try {
      await this.#steps()
    } finally {
      await traffic.stop()
      this.#isLooking = false
      await looking
      for (const lookout of this.#lookouts) await lookout.end()
    }
    this.result.answered = traffic.answered
    if (this.result.broken.length === 0) await this.#stop()
    if (this.result.broken.length > 0) this.#tell()
  }

  /** What it does then fails, and it comes to its end. */
  async abort(): Promise<void> {
    this.result.broken.push('it was ended before it was over')
    await this.end()
  }

  async end(): Promise<void> {
    try {
      await this.#fleet.project.end()
    } catch (error) {
      this.result.broken.push(String(error))
    }
    if (this.result.broken.length === 0) rmSync(this.#fleet.project.root, { recursive: true, force: true })
  }

  async #traffic(): Promise<Traffic> {
    const ports: Partial<Record<GroupName, number>> = {}
    for (const group of LISTENING) ports[group] = await this.#fleet.project.port(group)
    this.#lookouts = Object.values(ports).map((port) => new Lookout(port, { everyMs: 10 }))
    return new Traffic({
      ports,
      mark: (group) => this.#witness.floorOf(group),
      onAnswer: (seen) => this.#witness.answer(seen),
      onLost: (lost) => this.#lost.push(lost),
    })
  }

  /** What the master says, again and again. */
  async #look(): Promise<void> {
    while (this.#isLooking) {
      try {
        this.#witness.status(await this.#fleet.status())
      } catch (error) {
        this.#witness.broken.push(`status: ${error}`)
      }
      await delay(LOOK_EVERY_MS)
    }
  }

  async #steps(): Promise<void> {
    const { steps, endsAt = Number.POSITIVE_INFINITY } = this.#options
    while (this.result.steps < steps && performance.now() < endsAt && this.result.broken.length === 0) {
      this.result.steps++
      await this.#one(this.#deck.next())
    }
  }

  async #one({ planned, touched }: Draw): Promise<void> {
    const step = new Step(this.#fleet, this.#witness, touched)
    const what = planned.map(({ text }) => text).join('  +  ')
    for (const lookout of this.#lookouts) lookout.doing = what
    this.#witness.allowance = noAllowance()
    const startedAt = performance.now()
    this.#history.push(`${new Date().toISOString()} ${this.result.steps} ${what}`)
    const ends = await Promise.allSettled(planned.map((one) => one.run(step)))
    const failures = ends.filter((end) => end.status === 'rejected').map(({ reason }) => String(reason))
    for (const pid of step.dead) this.#dead.add(pid)
    const restless = await this.#fleet.settled(SETTLE_TIMEOUT_MS).catch((error: unknown) => [String(error)])
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
    const lost = this.#lost.splice(0)
    this.result.lost += lost.length
    this.#options.say?.(`  ${this.result.steps} ${what}  ${seconds} s${lost.length > 0 ? `, lost ${lost.length}` : ''}`)
    this.result.broken.push(...failures, ...step.broken, ...restless, ...this.#standing(), ...this.#judge(lost, step))
  }

  /** What is wrong although nobody did anything for it. */
  #standing(): string[] {
    for (const { at, pid } of this.#fleet.leaders()) this.#witness.lead('jobs', pid, at, at)
    const gaps = this.#lookouts.flatMap(({ missed }) => missed).map((doing) => `the port was gone: ${doing}`)
    const faults = this.#fleet.project.log.split('\n').filter((line) => OWN_FAULT.test(line))
    return [...this.#witness.broken, ...gaps, ...faults]
  }

  /** A request may be lost only with a process that was made to die, by the connection that it was on. */
  #judge(lost: readonly Lost[], step: Step): string[] {
    return lost
      .filter(({ outcome, pid }) => {
        if (outcome !== 'reset' && outcome !== 'closed') return true
        return pid === null ? step.dead.size === 0 : !this.#dead.has(pid)
      })
      .map(({ at, group, pid, detail }) => `${at} ${group} lost a request to ${pid ?? 'a new connection'}: ${detail}`)
  }

  async #stop(): Promise<void> {
    this.result.broken.push(...(await this.#fleet.stop()))
    if (this.result.broken.length > 0 || this.#fleet.kind !== 'daemon') return
    // where nothing runs, a restart starts
    const { code, stdout, stderr } = await this.#fleet.command('restart', '-d')
    if (code !== 0) this.result.broken.push(`restart of nothing: exit ${code}: ${stdout}${stderr}`)
    else this.result.broken.push(...(await this.#fleet.stop()))
  }

  #tell(): void {
    const { seed, kind, say = () => undefined } = this.#options
    const { project } = this.#fleet
    const tail = project.log.trimEnd().split('\n').slice(-LOG_TAIL)
    this.result.broken.push(`seed ${seed}, a ${kind} fleet, step ${this.result.steps}, kept: ${project.root}`)
    const parts = ['history', ...this.#history, 'log', ...tail, 'broken', ...this.result.broken]
    for (const line of parts) say(`    ${line}`)
  }
}

/** In the log, what only this package's own code can have thrown: the fixtures' errors say that they are a storm's. */
const OWN_FAULT = /\b(?:Type|Range|Reference|Assertion)Error\b|\bERR_(?:ASSERTION|INVALID)/
