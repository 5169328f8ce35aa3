/** A Redis server of the test's own, without persistence: started, stopped and started again on the same port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createClient } from 'redis'
import { onTestFinished } from 'vitest'
import { freePort } from './cli.ts'
import { readRow, until } from './processes.ts'

export interface RedisOptions {
  /** Words before the command: `ip netns exec …`. */
  readonly within?: readonly string[]
  readonly bind?: string
  readonly port?: number
  readonly password?: string
}

export class RedisServer {
  readonly port: number
  readonly #dir = mkdtempSync(join(tmpdir(), 'shiftwork-redis-'))
  readonly #options: RedisOptions
  #child: ChildProcess | null = null

  private constructor(port: number, options: RedisOptions) {
    this.port = port
    this.#options = options
  }

  /** For the running test, at whose end it is stopped. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    const server = await RedisServer.prepare(options)
    await server.start()
    return server
  }

  /** Not started yet. */
  static async prepare(options: RedisOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options.port ?? (await freePort()), options)
    onTestFinished(async () => {
      await server.stop()
      rmSync(server.#dir, { recursive: true, force: true })
    })
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Resolves when it takes connections. */
  async start(): Promise<void> {
    const { within = [], bind = '127.0.0.1', password } = this.#options
    const words = [...within, 'redis-server', '--port', String(this.port), '--bind', bind, '--dir', this.#dir]
    words.push('--save', '', '--appendonly', 'no', '--protected-mode', 'no')
    if (password !== undefined) words.push('--requirepass', password)
    const child = spawn(words[0] as string, words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    const said: string[] = []
    let isReady = false
    for await (const line of createInterface({ input: child.stdout })) {
      said.push(line)
      isReady = line.includes('Ready to accept connections')
      if (isReady) break
    }
    if (!isReady) throw new Error(`redis-server ended: ${said.join('\n')}`)
    child.stdout.resume()
  }

  /** It ends, and with it everything that it knows. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await ended
  }

  /** It takes connections and answers nothing. */
  async freeze(): Promise<void> {
    const pid = this.#child?.pid ?? 0
    this.#child?.kill('SIGSTOP')
    await until('Redis is frozen', () => readRow(pid)?.state === 'T')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** A client of it, for a moment. */
  async with<Result>(act: (client: ReturnType<typeof createClient>) => Promise<Result>): Promise<Result> {
    const password = this.#options.password
    const client = createClient({ url: this.url, ...(password !== undefined && { password }) })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return await act(client)
    } finally {
      client.destroy()
    }
  }
}
