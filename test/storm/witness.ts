/**
 * What must be true all the time in a storm, whatever is done: looked at with every answer of a worker
 * and with every status. Notes what was broken as sentences; decides nothing.
 */
import type { GroupStatus, Status } from '../../src/ipc/status.ts'
import type { GroupName } from './code.ts'
import type { Seen } from './traffic.ts'

/**
 * One that is stopped is not among them: it may have been told to drain before, and nobody can see it. Nor is one
 * that is hung: its place is filled before it is killed.
 */
const COMING = ['starting', 'prepared', 'serving']

/** The eldest of three that drain in a slot has 2 s to leave; so long a master may be stopped besides, and be looked at. */
const CUT_WITHIN_MS = 6_000

/** Who has led a group, one after another: a process that has let go never leads again. */
class Leaders {
  #current: number | null = null
  /** Since when somebody else was seen to lead, by pid. */
  readonly #before = new Map<number, number>()

  /** @returns what is wrong with this claim, or null. */
  claim(pid: number, from: number, to: number): string | null {
    const letGoAt = this.#before.get(pid)
    if (letGoAt !== undefined) return from > letGoAt ? `${pid} leads while ${this.#current} does` : null
    if (this.#current !== null && this.#current !== pid) this.#before.set(this.#current, to)
    this.#current = pid
    return null
  }
}

export class Witness {
  readonly broken: string[] = []
  /** The oldest version that may answer, by group: what a reload that was done has promised. */
  readonly floors = new Map<GroupName, number>()
  /** Versions that must never answer: they were rejected, or are about to be. */
  readonly banned = new Set<number>()
  /** What has answered since it was cleared. */
  readonly versions = new Map<GroupName, Set<number>>()
  /** More workers than `count` that an operation under way may have, by what it was asked. */
  allowance: { counts: Partial<Record<GroupName, number>>; surge: number; isAtomic: boolean } = noAllowance()
  readonly #leaders = new Map<string, Leaders>()
  /** The first three that were seen to drain in one slot. */
  readonly #crowds = new Map<string, { pids: number[]; seenAt: number }>()
  #master: number | null = null

  floorOf(group: GroupName): number {
    return this.floors.get(group) ?? 0
  }

  answer(seen: Seen): void {
    const { group, pid, version, leader, mark } = seen
    if (version < mark)
      this.#note(`${group} pid ${pid} answers from version ${version} after ${mark} was said to be done`)
    if (this.banned.has(version)) this.#note(`${group} pid ${pid} answers from the broken version ${version}`)
    const versions = this.versions.get(group) ?? new Set()
    this.versions.set(group, versions.add(version))
    if (leader) this.lead(group, pid, seen.sentAt, seen.answeredAt)
  }

  /** A process says that it led its group at some moment from `from` to `to`. */
  lead(group: string, pid: number, from: number, to: number): void {
    const leaders = this.#leaders.get(group) ?? new Leaders()
    this.#leaders.set(group, leaders)
    const wrong = leaders.claim(pid, from, to)
    if (wrong !== null) this.#note(`two leaders of ${group}: ${wrong}`)
  }

  status(status: Status): void {
    this.#master ??= status.master.pid
    if (status.master.pid !== this.#master) this.#note(`the master was ${this.#master} and is ${status.master.pid}`)
    for (const group of status.groups) this.#group(group)
  }

  #group({ name, count, processes }: GroupStatus): void {
    const { counts, surge, isAtomic } = this.allowance
    const most = Math.max(count, counts[name as GroupName] ?? 0)
    const limit = isAtomic ? 2 * most : most + Math.max(1, Math.ceil(most / 4), surge)
    const coming = processes.filter((row) => COMING.includes(row.state)).length
    if (coming > limit) this.#note(`${name} has ${coming} processes that start or serve, ${limit} at most`)
    const leading = processes.filter((row) => row.leader).map((row) => row.pid)
    if (leading.length > 1) this.#note(`two leaders of ${name} in the status: ${leading.join(', ')}`)
    for (const id of new Set(processes.map((row) => row.id))) {
      const draining = processes.filter((row) => row.id === id && row.state === 'draining')
      this.#crowd(
        `${name}/${id}`,
        draining.map((row) => row.pid ?? 0),
      )
    }
  }

  /** Two may drain in a slot; a third may for as long as the eldest takes to leave. */
  #crowd(slot: string, draining: readonly number[]): void {
    const crowd = this.#crowds.get(slot)
    const now = performance.now()
    if (!crowd?.pids.every((pid) => draining.includes(pid))) {
      if (draining.length > 2) this.#crowds.set(slot, { pids: draining.slice(0, 3), seenAt: now })
      else this.#crowds.delete(slot)
    } else if (now - crowd.seenAt > CUT_WITHIN_MS) this.#note(`${slot} has ${draining.length} processes that drain`)
  }

  #note(sentence: string): void {
    if (!this.broken.includes(sentence) && this.broken.length < 20) this.broken.push(sentence)
  }
}

export function noAllowance(): Witness['allowance'] {
  return { counts: {}, surge: 0, isAtomic: false }
}
