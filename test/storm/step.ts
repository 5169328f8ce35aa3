/**
 * One step of a storm: one operation, or several at once. Operations tell it what they may break by
 * what they do; it judges what the commands say.
 */
import type { ReloadSummary } from '../../src/ipc/status.ts'
import type { Result } from '../helpers/project.ts'
import type { GroupName } from './code.ts'
import { type Fleet, PATIENCE_MS, summaryOf } from './fleet.ts'
import type { Witness } from './witness.ts'

/** They give up after one to three seconds, and a master may be kept from answering for longer. */
const HASTY = ['status', 'logs']

/** What an operation changes: two that change the same are not done at once. */
export type Touch = 'code' | 'counts' | 'workers' | 'master' | 'log'

export class Step {
  readonly fleet: Fleet
  readonly witness: Witness
  readonly touched: ReadonlySet<Touch>
  /** Processes that were killed, or made to die, in this step. */
  readonly dead = new Set<number>()
  readonly broken: string[] = []

  constructor(fleet: Fleet, witness: Witness, touched: ReadonlySet<Touch>) {
    this.fleet = fleet
    this.witness = witness
    this.touched = touched
  }

  /** The master is stopped for a moment in this step: a command may say that it does not answer. */
  get hasFreeze(): boolean {
    return this.touched.has('master')
  }

  break(sentence: string): void {
    this.broken.push(sentence)
  }

  /** A command whose exit code must be this. @returns null: the master was frozen, and may have read it or not. */
  async expect(code: number, name: string, ...words: string[]): Promise<Result | null> {
    const giveUpAt = performance.now() + PATIENCE_MS
    let result = await this.fleet.command(name, ...words)
    if (result.code === 4 && this.hasFreeze) return null
    while (result.code === 4 && HASTY.includes(name) && performance.now() < giveUpAt)
      result = await this.fleet.command(name, ...words)
    if (result.code !== code)
      this.break(`${[name, ...words].join(' ')}: exit ${result.code ?? result.signal}, not ${code}: ${text(result)}`)
    return result
  }

  /** The same, of what must be done all the same: typed again after the thaw. */
  async insist(code: number, name: string, ...words: string[]): Promise<Result | null> {
    const result = await this.expect(code, name, ...words)
    if (result) return result
    await this.fleet.status()
    return this.expect(code, name, ...words)
  }

  /** A reload of the code on disk that must be done, of these groups; later answers are from there. */
  async reload(groups: readonly GroupName[], ...words: string[]): Promise<void> {
    const { version } = this.fleet
    const result = await this.expect(0, 'reload', '--json', ...words)
    if (result?.code !== 0) return
    this.#expectResult(result, 'done')
    if (!words.includes('serving')) this.promise(groups, version)
  }

  /** A reload that must be rejected. */
  async rejected(...words: string[]): Promise<void> {
    const result = await this.expect(5, 'reload', '--json', ...words)
    const summary = result && this.#expectResult(result, 'rejected')
    if (summary && summary.replaced.length > 0) this.break(`a rejected reload has replaced ${summary.replaced.length}`)
  }

  /** From now on these groups answer from this version, or a later one. */
  promise(groups: readonly GroupName[], version: number): void {
    for (const group of groups) this.witness.floors.set(group, version)
  }

  #expectResult(result: Result, wanted: ReloadSummary['result']): ReloadSummary | null {
    const summary = summaryOf(result)
    if (summary?.result !== wanted) this.break(`reload: exit ${result.code}, but ${summary?.result}: ${text(result)}`)
    return summary
  }
}

function text({ stdout, stderr }: Result): string {
  return `${stdout}${stderr}`.trim().slice(0, 2_000)
}
