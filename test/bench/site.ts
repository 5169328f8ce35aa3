/**
 * Where the benchmark runs: the fixtures copied into a project of their own, started there as a user
 * would, as JavaScript or under tsx. Whatever was started in it is gone after `end`, also when that
 * comes in the middle of something.
 */
import { readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { get } from '../helpers/client.ts'
import { until } from '../helpers/processes.ts'
import { Project, REPOSITORY, type Result, type Running } from '../helpers/project.ts'

/** The same code as JavaScript, or as TypeScript under the tsx loader. */
export type Loader = 'js' | 'tsx'

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url))
/** What is run by name; the rest is imported, and is JavaScript with either loader. */
const ENTRIES = ['start.js', 'echo.js', 'bare.js', 'cluster.js', 'idle.js', 'lines.js', 'sockets.js', 'gateway.js']

/** A program that was started, and the processes that it consists of. */
export interface Started {
  port: number
  pids: number[]
  /** From the spawn to the line that says so. */
  ms: number
  stop(): Promise<void>
}

export interface StartOptions {
  count?: number
  bakeMs?: number
  daemon?: boolean
  watch?: boolean
  /** The address of the echo, when the site has one. */
  listen?: string
}

export interface Load {
  connections: number
  messages: number
}

export class Site {
  readonly #project: Project
  readonly #loader: Loader
  readonly #entry: string

  /** @param entry which of the fixtures is the start file */
  constructor(loader: Loader, entry: 'start' | 'echo' | 'gateway' = 'start') {
    this.#loader = loader
    this.#entry = entry
    const extension = loader === 'js' ? 'js' : 'ts'
    const files = readdirSync(FIXTURES).map((name): [string, string] => [
      ENTRIES.includes(name) ? name.replace(/js$/, extension) : name,
      readFileSync(FIXTURES + name, 'utf8'),
    ])
    if (ending) throw new Error('the benchmark is over')
    this.#project = new Project(Object.fromEntries(files), { startFile: `${entry}.${extension}` })
    symlinkSync(join(REPOSITORY, 'node_modules/ws'), join(this.#project.dir, 'node_modules/ws'))
    sites.add(this)
  }

  /** Starts a fixture that tells when it listens, and its pids. */
  async launch(
    name: 'bare' | 'cluster' | 'idle' | 'lines' | 'sockets',
    env: Record<string, string> = {},
  ): Promise<Started> {
    const startedAt = performance.now()
    const running = this.#open.launch(process.execPath, this.#words(name), { env })
    const match = await running.line(/^listening (\d+) ([\d ]+)$/m)
    const ms = performance.now() - startedAt
    const pids = (match[2] ?? '').split(' ').map(Number)
    return { port: Number(match[1]), pids, ms, stop: () => ended(running) }
  }

  /** Starts Shiftwork until every worker serves. */
  async start(options: StartOptions = {}): Promise<Started> {
    const startedAt = performance.now()
    const running = options.daemon ? null : await this.#startForeground(options)
    if (!running) await this.#startDaemon(options)
    const ms = performance.now() - startedAt
    const { master, groups } = await this.#open.status()
    const workers = groups.flatMap(({ processes }) => processes.map(({ pid }) => pid ?? 0))
    const stop = async (): Promise<void> => {
      check(await this.#open.shiftwork('stop', '--timeout', '0'), 'stop')
      await running?.ended
    }
    return { port: await this.#open.port(), pids: [master.pid, ...workers], ms, stop }
  }

  /** `shiftwork reload` to its end, in milliseconds. */
  async reload(): Promise<number> {
    return check(await this.#open.shiftwork('reload'), 'reload').ms
  }

  /** Saves the handler, and asks until another process answers. @returns milliseconds */
  async save(port: number): Promise<number> {
    const pidOf = async (): Promise<number> => (JSON.parse((await get({ port })).body) as { pid: number }).pid
    const { processes } = (await this.#open.status()).groups[0] ?? { processes: [] }
    const old = processes.map(({ pid }) => pid ?? 0)
    const savedAt = performance.now()
    this.#open.write('handler.js', this.#open.read('handler.js'))
    await until('the new code answers', async () => !old.includes(await pidOf()), 60_000)
    return performance.now() - savedAt
  }

  /** Until no reload goes on. */
  async settled(): Promise<void> {
    await until('the reload is over', async () => (await this.#open.status()).master.state === 'running', 60_000)
  }

  /** Runs the load generator to its end. */
  async load(port: number, kind: 'short' | 'keep', requests: number): Promise<void> {
    const words = ['load.js', String(port), kind, '32', String(requests)]
    const { stdout } = check(await this.#open.exec(process.execPath, words), 'load')
    if (stdout !== `answered ${requests}\n`) throw new Error(`the load tells: ${stdout}`)
  }

  /** Sends messages until all their echoes are there. @returns milliseconds for each */
  loadEcho(port: number, kind: 'text' | 'websocket', { connections, messages }: Load): Promise<number> {
    return this.#time(['echo-load.js', String(port), kind, String(connections), String(messages)])
  }

  /** Sends messages to all, until all have them. @returns milliseconds for each delivery */
  loadFan(port: number, { connections, messages }: Load): Promise<number> {
    return this.#time(['fan-load.js', String(port), String(connections), String(messages)])
  }

  async #time(words: string[]): Promise<number> {
    const { stdout } = check(await this.#open.exec(process.execPath, words), words.join(' '))
    const [, count, ms] = /^answered (\d+) in ([\d.]+)$/m.exec(stdout) ?? []
    if (count === undefined) throw new Error(`the load tells: ${stdout}`)
    return Number(ms) / Number(count)
  }

  /** Opens so many WebSockets, looks what that has changed, and closes them. */
  async held<T>(port: number, connections: number, look: () => Promise<T>): Promise<T> {
    const holder = this.#open.launch(process.execPath, ['hold.js', String(port), String(connections)])
    await holder.line(/^open \d+$/m)
    try {
      return await look()
    } finally {
      await ended(holder)
    }
  }

  async end(): Promise<void> {
    if (this.#project.processes.length > 0) await this.#project.shiftwork('stop', '--timeout', '0', '--force')
    await until('no process is left', () => {
      for (const { pid } of this.#project.processes) kill(pid)
      return this.#project.processes.length === 0
    })
    await this.#project.end()
    rmSync(this.#project.root, { recursive: true, force: true })
    sites.delete(this)
  }

  /** Nothing is started any more once everything is being ended. */
  get #open(): Project {
    if (ending) throw new Error('the benchmark is over')
    return this.#project
  }

  async #startForeground(options: StartOptions): Promise<Running> {
    const running = this.#open.launch(
      process.execPath,
      [...this.#words(this.#entry), 'start', ...(options.watch ? ['--watch'] : [])],
      {
        env: variables(options),
      },
    )
    await running.line(/^ready in /m)
    return running
  }

  async #startDaemon(options: StartOptions): Promise<void> {
    const words = [...this.#words(this.#entry), 'start', '-d']
    check(await this.#open.exec(process.execPath, words, { env: variables(options) }), 'start -d')
  }

  #words(name: string): string[] {
    return this.#loader === 'js' ? [`${name}.js`] : ['--import', 'tsx', `${name}.ts`]
  }
}

const sites = new Set<Site>()

let ending: Promise<void> | null = null

/** Ends whatever is still there; from now on nothing can be started. Safe to call twice. */
export function endSites(): Promise<void> {
  ending ??= endAll()
  return ending
}

async function endAll(): Promise<void> {
  for (const site of [...sites]) await site.end()
}

function variables({ count = 2, bakeMs, listen }: StartOptions): Record<string, string> {
  return {
    BENCH_COUNT: String(count),
    ...(bakeMs !== undefined && { BENCH_BAKE_MS: String(bakeMs) }),
    ...(listen !== undefined && { BENCH_LISTEN: listen }),
  }
}

function check(result: Result, what: string): Result {
  if (result.code === 0) return result
  throw new Error(`${what}: exit ${result.code ?? result.signal}: ${result.stdout}${result.stderr}`)
}

async function ended(running: Running): Promise<void> {
  running.kill('SIGTERM')
  await running.ended
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it went between the look and the signal
  }
}
