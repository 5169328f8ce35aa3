/**
 * A fleet of gateways and of one business worker that does what its clients ask for: each line of a client is a command
 * of `Commands` with its arguments as JSON, and is answered with what came of it.
 */
import type { Deliveries } from '../../src/gateway/types.ts'
import { LineClient } from './lines.ts'
import { Project, type Running } from './project.ts'

const START = `
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway } from 'shiftwork/gateway'
const bus = process.env.BUS
const count = Number(process.env.GATEWAYS ?? 1)
new Gateway(process.env.LISTEN ?? 'text://127.0.0.1:0', { name: 'gateway', count, bus })
const deadlineMs = Number(process.env.DEADLINE_MS ?? 20_000)
const business = new BusinessWorker({ name: 'business', bus, deadlineMs, bakeMs: 0 })
business.onConnect = (client) => client.send('you are ' + client.id)
business.onMessage = async (client, line) => {
  const { id, command, args } = JSON.parse(line)
  const startedAt = performance.now()
  const answer = await client.gateways[command](...args).then(
    (result) => ({ result }),
    (error) => ({ error: { code: error.code, message: error.message, hint: error.hint } }),
  )
  await client.send(JSON.stringify({ answers: id, ms: performance.now() - startedAt, ...answer }))
}
Worker.runAll()
`

/** Commands that are given at once are done one after another: how long the last of many takes is the machine's business. */
const ANSWER_TIMEOUT_MS = 150_000

/** What came of a command, and after how long. */
export interface Outcome {
  readonly result?: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string }
  readonly ms: number
}

export class Fleet {
  readonly project: Project
  readonly running: Running
  readonly #target: { path: string } | { port: number }

  private constructor(project: Project, running: Running, target: { path: string } | { port: number }) {
    this.project = project
    this.running = running
    this.#target = target
  }

  /**
   * In a folder of its own.
   * @param env `BUS`, and `GATEWAYS`, `DEADLINE_MS` where they are others.
   * @param within words before the command: `ip netns exec …`, then it listens in its folder.
   */
  static async start(
    env: Record<string, string>,
    { within, project = Project.create({ 'start.js': START }) }: { within?: readonly string[]; project?: Project } = {},
  ): Promise<Fleet> {
    if (!within) {
      const running = await project.start('js', [], env)
      return new Fleet(project, running, { port: await project.port('gateway') })
    }
    const path = `${project.dir}/clients.sock`
    const [command = '', ...words] = [...within, process.execPath, project.startFile, 'start']
    const running = project.launch(command, words, { env: { ...env, LISTEN: `text+unix://${path}` } })
    await running.line(/^ready in /m)
    return new Fleet(project, running, { path })
  }

  async client(): Promise<FleetClient> {
    const client = new FleetClient(await LineClient.open(this.#target))
    await client.line(/^you are /)
    return client
  }

  /** Everything that its processes have said. */
  get said(): string {
    return this.running.stdout + this.running.stderr + this.project.log
  }
}

/** A client of a gateway that can have its worker do things. */
export class FleetClient {
  readonly #client: LineClient
  #commands = 0

  constructor(client: LineClient) {
    this.#client = client
  }

  get id(): string {
    return (this.#client.lines[0] ?? '').replace('you are ', '')
  }

  get gateway(): string {
    return this.id.split('.')[0] ?? ''
  }

  get lines(): readonly string[] {
    return this.#client.lines
  }

  /** Waits for a line; null: it was closed. */
  line(what: RegExp | string, timeoutMs?: number): Promise<string | null> {
    return this.#client.line((line) => (typeof what === 'string' ? line === what : what.test(line)), timeoutMs)
  }

  closed(): Promise<true> {
    return this.#client.closed()
  }

  /** Has its worker do it, whatever comes of it. */
  async attempt(command: string, ...args: unknown[]): Promise<Outcome> {
    const id = ++this.#commands
    this.#client.send(JSON.stringify({ id, command, args }))
    const line = await this.line(new RegExp(`^\\{"answers":${id},`), ANSWER_TIMEOUT_MS)
    if (line === null) throw new Error(`the client was closed before ${command} was answered`)
    return JSON.parse(line) as Outcome
  }

  /** @throws when it rejects. */
  async do(command: string, ...args: unknown[]): Promise<unknown> {
    const { result, error } = await this.attempt(command, ...args)
    if (error) throw Object.assign(new Error(error.message), error)
    return result
  }

  /** How many clients hear what it says to all; -1: somebody has not answered, or not soon. */
  async reach(): Promise<number> {
    const { result } = await this.attempt('sendToAll', 'who is there?', { deadlineMs: 2_000 })
    const told = result as Deliveries | undefined
    return told?.missing.length === 0 ? told.sent + told.buffered : -1
  }

  close(): void {
    this.#client.close()
  }
}
