/**
 * A live fleet in a storm: its project on disk, its commands, and what the storm knows of it. A file
 * of code is replaced in one step, so that a worker which starts meanwhile reads one version or the other.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fetchStatus } from '../../src/cli/look.ts'
import { ShiftworkError } from '../../src/errors.ts'
import type { ReloadSummary, Status } from '../../src/ipc/status.ts'
import { stateDirAt } from '../../src/os/statedir.ts'
import { OPTION_NAMES } from '../../src/spec/spec.ts'
import { isAlive, readRow } from '../helpers/processes.ts'
import { BIN, Project, type Result, type Running } from '../helpers/project.ts'
import { appFile, type Fault, GROUP_NAMES, GROUPS, type GroupName, LEADERS_FILE, startFile } from './code.ts'

/** This version of the package finds workers that hang. */
export const KNOWS_HANGS = (OPTION_NAMES as readonly string[]).includes('hangTimeoutMs')

export const KINDS = ['daemon', 'foreground', 'watched'] as const
export type Kind = (typeof KINDS)[number]

/** For how long a master may answer no question. */
export const PATIENCE_MS = 20_000
const ASK_EVERY_MS = 50

export class Fleet {
  readonly project = new Project({ 'start.js': startFile(KNOWS_HANGS), 'app.js': appFile(1) })
  readonly kind: Kind
  /** How many workers each group ought to have. */
  readonly counts = Object.fromEntries(GROUP_NAMES.map((name) => [name, GROUPS[name].count])) as Record<
    GroupName,
    number
  >
  version = 1
  masterPid = 0
  #foreground: Running | null = null

  constructor(kind: Kind) {
    this.kind = kind
  }

  async start(): Promise<void> {
    if (this.kind === 'foreground') this.#foreground = await this.project.start()
    else {
      const words = this.kind === 'watched' ? ['-d', '--watch'] : ['-d']
      const { code, stdout, stderr } = await this.command('start', ...words)
      if (code !== 0) throw new Error(`start: exit ${code}: ${stdout}${stderr}`)
    }
    this.masterPid = (await this.status()).master.pid
  }

  /** Types a command, whose exit code is the caller's to judge. */
  command(name: string, ...words: string[]): Promise<Result> {
    return this.project.shiftwork(name, ...words)
  }

  /** Types a command that is not waited for. */
  launch(name: string, ...words: string[]): Running {
    return this.project.launch(process.execPath, [BIN, name, this.project.startFile, ...words])
  }

  /**
   * Asks without a process of its own, which the command line needs. A machine with much to do may keep the master from
   * answering for longer than one question waits, and the storm stops it for a moment: it is asked again.
   */
  async status(): Promise<Status> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (;;) {
      try {
        return await fetchStatus(stateDirAt(this.project.stateDir))
      } catch (error) {
        const isSilent = error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER'
        if (!isSilent || performance.now() > giveUpAt) throw error
      }
      await delay(ASK_EVERY_MS)
    }
  }

  /** Writes the next version of the code. @returns its number */
  write(fault: Fault | null = null): number {
    this.version++
    this.project.write('app.js.tmp', appFile(this.version, fault))
    renameSync(join(this.project.dir, 'app.js.tmp'), join(this.project.dir, 'app.js'))
    return this.version
  }

  /** The workers of a group that the status shows, whatever they do. */
  async pidsOf(group: GroupName): Promise<number[]> {
    const found = (await this.status()).groups.find(({ name }) => name === group)
    return (found?.processes ?? []).flatMap((row) => row.pid ?? [])
  }

  /** A signal to a process that is still this master's worker. @returns false: it was gone. */
  signal(pid: number, signal: NodeJS.Signals): boolean {
    if (readRow(pid)?.ppid !== this.masterPid) return false
    try {
      process.kill(pid, signal)
      return true
    } catch {
      // it went between the look and the signal
      return false
    }
  }

  signalMaster(signal: NodeJS.Signals): void {
    process.kill(this.masterPid, signal)
  }

  /** The claims of the group without a listener, of which some were returned before: times are the system clock's. */
  leaders(): { at: number; pid: number }[] {
    const path = join(this.project.dir, LEADERS_FILE)
    if (!existsSync(path)) return []
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    return lines.map((line) => line.split(' ').map(Number)).map(([at = 0, pid = 0]) => ({ at, pid }))
  }

  /** What status and process table say of a fleet at rest; empty: they agree, and nothing is missing. */
  async disagreements(): Promise<string[]> {
    const status = await this.status()
    const found = status.master.state === 'running' ? [] : [`the master is ${status.master.state}`]
    for (const group of status.groups) {
      const wanted = this.counts[group.name as GroupName]
      const shown = group.processes.map((row) => `${row.id} ${row.state}`)
      const right = Array.from({ length: wanted }, (_, id) => `${id} serving`)
      if (shown.join() !== right.join()) found.push(`${group.name} ought to have ${right}: ${shown}`)
    }
    const shown = status.groups.flatMap((group) => group.processes.flatMap((row) => row.pid ?? []))
    const real = this.project.processes.filter((row) => row.ppid === status.master.pid).map((row) => row.pid)
    for (const pid of shown) if (!real.includes(pid)) found.push(`${pid} is in the status and does not live`)
    for (const pid of real) if (!shown.includes(pid)) found.push(`${pid} lives and is not in the status`)
    return found
  }

  /** @returns what is still wrong after `timeoutMs`; empty: it came to rest. */
  async settled(timeoutMs: number): Promise<string[]> {
    const giveUpAt = performance.now() + timeoutMs
    for (;;) {
      const found = await this.disagreements()
      if (found.length === 0 || performance.now() > giveUpAt) return found
      await delay(50)
    }
  }

  /** Stops it. @returns what is wrong with that; empty: nothing is left. */
  async stop(): Promise<string[]> {
    const { code, stdout, stderr } = await this.command('stop')
    const found = code === 0 ? [] : [`stop: exit ${code}: ${stdout}${stderr}`]
    if (isAlive(this.masterPid) && this.kind !== 'foreground') found.push('the master lives after the stop')
    const ended = await this.#foreground?.ended
    if (ended && ended.code !== 0) found.push(`the master in the foreground: exit ${ended.code ?? ended.signal}`)
    const left = this.project.processes
    if (left.length > 0) found.push(`left: ${left.map((row) => `${row.pid} ${row.title}`).join('; ')}`)
    return found
  }
}

export function summaryOf(result: Result): ReloadSummary | null {
  try {
    return JSON.parse(result.stdout) as ReloadSummary
  } catch {
    // an error instead, or nothing
    return null
  }
}
