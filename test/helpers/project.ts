/**
 * A user's project in a directory of its own, with this package installed in it, and the commands a
 * user types. Each test has its own; at its end nothing of it may be alive. The directory stays when
 * the test fails.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { ask } from '../../src/cli/client.ts'
import { fetchStatus } from '../../src/cli/look.ts'
import { ShiftworkError } from '../../src/errors.ts'
import type { ReloadSummary, Status } from '../../src/ipc/status.ts'
import { findStateDir } from '../../src/os/statedir.ts'
import { MARK, marked, type Row, until } from './processes.ts'
import { Signal } from './signal.ts'

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
export const BIN = join(REPOSITORY, 'bin/shiftwork.js')

/** This Node.js runs TypeScript by itself (22.18, 23.6 and later). */
export const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript)

export interface Result {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
  ms: number
}

/** How the start file is run: as JavaScript, or as TypeScript in one of the ways users have. */
export type Flavour = 'js' | 'tsx' | 'tsx-import' | 'strip'

export interface ProjectOptions {
  /** Default `start.js`. */
  startFile?: string
  /** A name for the directory: blanks, non-ASCII, long. */
  directory?: string
  /** package.json's `type`; default `module`. */
  type?: 'module' | 'commonjs'
}

export class Project {
  readonly root: string
  readonly dir: string
  readonly startFile: string
  readonly mark = randomBytes(8).toString('hex')
  readonly #spawned: Running[] = []

  constructor(files: Record<string, string>, options: ProjectOptions = {}) {
    this.root = realpathSync(mkdtempSync(join(tmpdir(), 'shiftwork-')))
    this.dir = options.directory === undefined ? this.root : join(this.root, options.directory)
    this.startFile = join(this.dir, options.startFile ?? 'start.js')
    mkdirSync(join(this.dir, 'node_modules'), { recursive: true })
    symlinkSync(REPOSITORY, join(this.dir, 'node_modules/shiftwork'))
    symlinkSync(join(REPOSITORY, 'node_modules/tsx'), join(this.dir, 'node_modules/tsx'))
    this.write('package.json', JSON.stringify({ name: 'project', private: true, type: options.type ?? 'module' }))
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  /** Creates it for the running test, and cleans up behind it. */
  static create(files: Record<string, string>, options: ProjectOptions = {}): Project {
    const project = new Project(files, options)
    onTestFinished(async ({ task }) => {
      const hasFailed = task.result?.state === 'fail'
      if (hasFailed) console.error(`the log of ${project.root} ends with\n${lastLines(project.log)}`)
      await project.end()
      if (!hasFailed) rmSync(project.root, { recursive: true, force: true })
    })
    return project
  }

  write(name: string, text: string): void {
    const path = join(this.dir, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }

  read(name: string): string {
    return readFileSync(join(this.dir, name), 'utf8')
  }

  /** What a process has written into it so far; nothing when it has not begun. */
  written(name: string): string {
    return existsSync(join(this.dir, name)) ? this.read(name) : ''
  }

  get stateDir(): string {
    return join(dirname(this.startFile), '.shiftwork', this.startFile.slice(dirname(this.startFile).length + 1))
  }

  get log(): string {
    const path = join(this.stateDir, 'shiftwork.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  /** Runs a program to its end. */
  exec(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string> } = {},
  ): Promise<Result> {
    return new Running(this.#spawn(command, args, options)).ended
  }

  /** Starts a program that goes on. */
  launch(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string> } = {},
  ): Running {
    const running = new Running(this.#spawn(command, args, options))
    this.#spawned.push(running)
    return running
  }

  #spawn(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string> },
  ): ChildProcess {
    return spawn(command, [...args], {
      cwd: options.cwd ?? this.dir,
      env: { ...process.env, NO_COLOR: '1', ...options.env, [MARK]: this.mark },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** `shiftwork <command> <this start file> …`, as typed in the project's directory. */
  shiftwork(command: string, ...args: string[]): Promise<Result> {
    return this.exec(process.execPath, [BIN, command, this.startFile, ...args])
  }

  /** The words that run the start file, as a user of that flavour types them. */
  commandFor(flavour: Flavour): { command: string; args: string[] } {
    if (flavour === 'tsx')
      return { command: process.execPath, args: [join(REPOSITORY, 'node_modules/tsx/dist/cli.mjs'), this.startFile] }
    if (flavour === 'tsx-import') return { command: process.execPath, args: ['--import', 'tsx', this.startFile] }
    return { command: process.execPath, args: [this.startFile] }
  }

  /** `start` in the foreground; resolves when every worker serves. */
  async start(
    flavour: Flavour = 'js',
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<Running> {
    const { command, args: words } = this.commandFor(flavour)
    const running = this.launch(command, [...words, 'start', ...args], { env })
    await running.line(/^ready in /m)
    return running
  }

  /** A command through the start file. */
  through(flavour: Flavour, ...args: string[]): Promise<Result> {
    const { command, args: words } = this.commandFor(flavour)
    return this.exec(command, [...words, ...args])
  }

  /** What `status --json` prints, asked without a process of its own; asked again while a master that runs is busy. */
  async status(): Promise<Status> {
    const stateDir = findStateDir(this.startFile, null)
    for (const giveUpAt = performance.now() + 20_000; ; )
      try {
        return await fetchStatus(stateDir)
      } catch (error) {
        const isBusy =
          error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER' && !/signal/.test(error.message)
        if (!isBusy || performance.now() >= giveUpAt) throw error
      }
  }

  /** `reload --json`. */
  async reload(...args: string[]): Promise<{ code: number | null; summary: ReloadSummary }> {
    const result = await this.shiftwork('reload', '--json', ...args)
    return { code: result.code, summary: JSON.parse(result.stdout) as ReloadSummary }
  }

  /** The pids that serve a group, by slot. */
  async pids(name = 'web'): Promise<number[]> {
    const group = (await this.status()).groups.find((candidate) => candidate.name === name)
    return (group?.processes ?? []).filter((row) => row.state === 'serving').map((row) => row.pid ?? 0)
  }

  /** The port that a group really listens on. */
  async port(name = 'web'): Promise<number> {
    const group = (await this.status()).groups.find((candidate) => candidate.name === name)
    return Number(/:(\d+)$/.exec(group?.listen[0] ?? '')?.[1])
  }

  get processes(): Row[] {
    return marked(this.mark)
  }

  /** Stops what runs, then proves that nothing is left. What is left is killed and fails the test. */
  async end(): Promise<void> {
    if (this.processes.length > 0) await this.#stop()
    for (const running of this.#spawned) running.release()
    try {
      await until('no process is left', () => this.processes.length === 0, 3_000)
    } catch {
      const left = this.processes
      for (const row of left) process.kill(row.pid, 'SIGKILL')
      throw new Error(`left behind in ${this.root}: ${left.map((row) => `${row.pid} ${row.title}`).join('; ')}`)
    }
  }

  async #stop(): Promise<void> {
    try {
      await ask(findStateDir(this.startFile, null), { command: 'stop', graceful: false, timeoutMs: 0 })
      await until('no process is left', () => this.processes.length === 0, 1_000)
    } catch {
      // a master that cannot hear, or none, and what it has left
      await this.shiftwork('stop', '--timeout', '0', '--force')
    }
  }
}

function lastLines(log: string): string {
  return log.split('\n').slice(-30).join('\n')
}

/** A program that runs: its output, its lines as they come, its end. */
export class Running {
  readonly pid: number
  readonly ended: Promise<Result>
  stdout = ''
  stderr = ''
  readonly #child: ChildProcess
  readonly #news = new Signal()
  #result: Result | null = null

  constructor(child: ChildProcess) {
    const startedAt = performance.now()
    this.#child = child
    this.pid = child.pid ?? 0
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#note('stdout', text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#note('stderr', text))
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        const ms = performance.now() - startedAt
        this.#result ??= { code, signal, stdout: this.stdout, stderr: this.stderr, ms }
        resolve(this.#result)
        this.#news.tell()
      }
      child.once('error', (error) => end(null, error.message))
      child.once('close', end)
      // a daemon that it started may hold its output open: an exit is an end all the same
      child.once('exit', (code, signal) => setTimeout(() => end(code, signal), 500))
    })
  }

  #note(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.#news.tell()
  }

  /** Waits for a line of its output. @throws when it ends before, or after `timeoutMs`. */
  line(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    const look = (): RegExpExecArray | undefined => {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (!match && this.#result) throw new Error(`ended before ${pattern}:\n${this.stdout}${this.stderr}`)
      return match ?? undefined
    }
    const instead = (): string => `${this.stdout}${this.stderr}`
    return this.#news.wait(look, { what: String(pattern), instead, timeoutMs })
  }

  /** Waits until its output has this text. */
  async says(text: string): Promise<void> {
    await this.line(new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  release(): void {
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
    this.#child.unref()
  }
}
