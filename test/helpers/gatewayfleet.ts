/**
 * A fleet of gateways, business workers and a web worker, whose clients ask for any command: from a business
 * worker, from the web worker, or from a program of its own. Ids, answers and messages come as lines of text.
 */
import { expect } from 'vitest'
import type { ConnectionList, ConnectionRow } from '../../src/ipc/connections.ts'
import { get } from './client.ts'
import { untilLinked } from './gateways.ts'
import { LineClient } from './lines.ts'
import { until } from './processes.ts'
import { Project, type ProjectOptions, type Running } from './project.ts'

/** What a command came to. */
export type Outcome = { value: unknown } | { error: string; message: string; hint: string | null; missing?: unknown }

/** Half of it is for finding the gateways: a process that has just started needs long for that where the machine is busy. */
const DEADLINE_MS = 20_000
/** An HTTP client waits for longer than any command may take: it is the command's own deadline that speaks. */
const WEB_TIMEOUT_MS = 90_000

/** Somebody who gives commands. */
export interface Caller {
  readonly name: string
  try(command: string, ...args: unknown[]): Promise<Outcome>
}

/** Commands as JSON: bytes as `{ bytes: base64 }`, long texts as `{ repeat: length }`; `many` gives one so many times at once. */
const COMMANDS = `
export const revive = (value) => {
  if (value === null || typeof value !== 'object') return value
  if (typeof value.bytes === 'string') return Buffer.from(value.bytes, 'base64')
  if (typeof value.repeat === 'number') return 'x'.repeat(value.repeat)
  if (Array.isArray(value)) return value.map(revive)
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, revive(entry)]))
}
/** What each of many of the same command came to, counted. */
const many = async (target, count, command, args) => {
  const outcomes = await Promise.all(Array.from({ length: count }, () => attempt(target, command, args)))
  const counts = {}
  for (const { value, error } of outcomes) counts[error ?? JSON.stringify(value)] = (counts[error ?? JSON.stringify(value)] ?? 0) + 1
  return { value: counts }
}
export const attempt = async (target, command, args) => {
  if (command === 'many') return many(target, ...args.slice(0, 2), args.slice(2).map(revive))
  try {
    return { value: await target[command](...args.map(revive)) }
  } catch (error) {
    const { code = String(error), message, hint = null, facts } = error
    return { error: code, message, hint, missing: facts?.missing }
  }
}
`

/** The business code: says hello, does what a line asks for, and notes what happens. */
const APP = `
import { appendFileSync } from 'node:fs'
import { attempt } from './commands.js'
const dir = import.meta.dirname ?? new URL('.', import.meta.url).pathname
const note = (client, what, { redelivered }) =>
  appendFileSync(dir + '/events.log', [what, client.id, process.pid, redelivered].join(' ') + '\\n')
const look = ({ id, uid, groups, session, remoteAddress, remotePort, protocol, connectedAt }) =>
  ({ id, uid, groups: [...groups], session, remoteAddress, remotePort, protocol, connectedAt, pid: process.pid })
export const hooks = {
  onConnect: async (client, info) => {
    note(client, 'connect', info)
    await client.send('hello ' + client.id + ' ' + process.pid)
  },
  onMessage: async (client, data, info) => {
    const text = String(data)
    if (!text.startsWith('{')) return client.send('heard ' + (text.length < 1024 ? text : text.length + ' characters'))
    const { ask, on, command, args } = JSON.parse(text)
    const target = on === 'client' ? client : on === 'look' ? { look: async () => look(client) } : client.gateways
    const outcome = on === 'look' ? { value: look(client) } : await attempt(target, command, args)
    await client.send('answer ' + ask + ' ' + JSON.stringify({ ...outcome, after: look(client) }))
  },
  onClose: (client, info) => note(client, 'close', info),
}
`

/** Gives the commands that it is told, prints what each came to, and ends by itself. */
export const PROGRAM = `
import { GatewayClient } from 'shiftwork/gateway'
import { attempt } from './commands.js'
const { options, commands } = JSON.parse(process.argv[2])
const gateways = new GatewayClient(options)
for (const [command, ...args] of commands) console.log(JSON.stringify(await attempt(gateways, command, args)))
`

export interface FleetOptions {
  /** The gateways, as text that makes them; default: one of \`text://\` with two processes. */
  gateways?: string
  /** Options of the business workers. */
  business?: Record<string, unknown>
  /** Options of the web worker's GatewayClient. */
  client?: Record<string, unknown>
  app?: string
  project?: ProjectOptions
  /** Words of the start command. */
  words?: readonly string[]
}

export function gatewayStart({ gateways, business = {}, client = {} }: FleetOptions = {}): string {
  return `
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway, GatewayClient } from 'shiftwork/gateway'
import { attempt } from './commands.js'
${gateways ?? "new Gateway('text://127.0.0.1:0', { name: 'gateway', count: 2 })"}
const business = new BusinessWorker(${JSON.stringify({ name: 'business', count: 2, bakeMs: 50, deadlineMs: DEADLINE_MS, ...business })})
business.onWorkerStart = async () => Object.assign(business, (await import('./app.js')).hooks)
const web = new Worker('http://127.0.0.1:0', { name: 'web', bakeMs: 50 })
web.onWorkerStart = () => {
  const gateways = new GatewayClient(${JSON.stringify({ deadlineMs: DEADLINE_MS, ...client })})
  web.onRequest = async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const [command, ...args] = JSON.parse(text)
    response.end(JSON.stringify(await attempt(gateways, command, args)))
  }
}
Worker.runAll()
`
}

/** A client of a gateway that speaks lines. */
export class Guest {
  readonly lines: LineClient
  readonly id: string
  /** Its gateway process. */
  readonly gateway: string
  /** The business worker that has greeted it. */
  readonly pid: number
  #asked = 0

  private constructor(lines: LineClient, hello: string) {
    const [, id = '', pid = ''] = hello.split(' ')
    this.lines = lines
    this.id = id
    this.gateway = id.split('.')[0] ?? ''
    this.pid = Number(pid)
  }

  static async come(port: number, host = '127.0.0.1'): Promise<Guest> {
    const lines = await LineClient.open({ port, host })
    const hello = await lines.line((line) => line.startsWith('hello '))
    if (hello === null) throw new Error('sent away before it was greeted')
    return new Guest(lines, hello)
  }

  /** @param on the client itself, all gateways, or nothing: only how the client looks there. */
  async ask(on: 'client' | 'gateways' | 'look', command = '', ...args: unknown[]): Promise<Outcome & { after: Look }> {
    const ask = ++this.#asked
    this.lines.send(JSON.stringify({ ask, on, command, args }))
    const answer = await this.lines.line((line) => line.startsWith(`answer ${ask} `))
    if (answer === null) throw new Error(`closed before ${command} was answered`)
    return JSON.parse(answer.slice(`answer ${ask} `.length)) as Outcome & { after: Look }
  }

  async look(): Promise<Look> {
    return (await this.ask('look')).after
  }

  /** What it was sent by others, in order. */
  get messages(): string[] {
    return this.lines.lines.filter((line) => !/^(hello|answer) /.test(line))
  }

  /** The same, when all that was sent by now has come. */
  async heard(): Promise<string[]> {
    await this.look()
    return this.messages
  }

  close(): void {
    this.lines.close()
  }
}

/** A client as its business worker has it. */
export interface Look {
  id: string
  uid: string | null
  groups: string[]
  session: Record<string, unknown>
  remoteAddress: string | null
  remotePort: number | null
  protocol: string
  connectedAt: number
  pid: number
}

export class GatewayFleet {
  readonly project: Project
  readonly port: number
  readonly #running: Running | null
  readonly #webPort: number

  /** One that runs already. */
  constructor(project: Project, ports: { gateway: number; web: number }, running: Running | null = null) {
    this.project = project
    this.#running = running
    this.port = ports.gateway
    this.#webPort = ports.web
  }

  static files(options: FleetOptions = {}): Record<string, string> {
    return {
      'start.js': gatewayStart(options),
      'app.js': options.app ?? APP,
      'commands.js': COMMANDS,
      'program.js': PROGRAM,
    }
  }

  static async start(options: FleetOptions = {}): Promise<GatewayFleet> {
    const project = Project.create(GatewayFleet.files(options), options.project)
    const running = await project.start('js', options.words)
    await untilLinked(project)
    const ports = { gateway: await project.port('gateway'), web: await project.port('web') }
    return new GatewayFleet(project, ports, running)
  }

  /** What its processes have said so far. */
  get output(): string {
    return `${this.#running?.stdout}${this.#running?.stderr}`
  }

  come(): Promise<Guest> {
    return Guest.come(this.port)
  }

  /** So many on each of two gateway processes: the kernel chooses, so some more come, and leave again. */
  async comeToBoth(count: number): Promise<[Guest[], Guest[]]> {
    const byGateway = new Map<string, Guest[]>()
    const isEnoughWithMore = async (): Promise<boolean> => {
      // together: who comes alone, comes to the one that came to be the first
      for (const guest of await Promise.all(Array.from({ length: 2 * count + 2 }, () => this.come()))) {
        const others = byGateway.get(guest.gateway) ?? []
        byGateway.set(guest.gateway, others)
        others.push(guest)
      }
      return [...byGateway.values()].filter((guests) => guests.length >= count).length === 2
    }
    // on a busy machine all of them come to the gateway that has a core, and that may be the same for long
    await until('clients have come to both gateways', isEnoughWithMore, 60_000)
    const [one = [], other = []] = byGateway.values()
    const extra = [...one.splice(count), ...other.splice(count)]
    for (const guest of extra) guest.close()
    for (const guest of extra) await this.until(guest.id, false)
    return [one, other]
  }

  /** Waits until a client is known, or is not. */
  async until(id: string, isOnline: boolean): Promise<void> {
    await expect.poll(() => this.web.try('isOnline', id), { timeout: 20_000 }).toEqual({ value: isOnline })
  }

  /** What `connections` lists, once every process has answered. */
  async connections(): Promise<ConnectionRow[]> {
    let rows: ConnectionRow[] = []
    const look = async (): Promise<ConnectionList> => {
      const list = JSON.parse((await this.project.shiftwork('connections', '--json')).stdout) as ConnectionList
      rows = list.connections
      return list
    }
    await expect.poll(look, { timeout: 30_000, interval: 200 }).toMatchObject({ missing: [] })
    return rows
  }

  /** The gateway process that holds a guest. */
  async pidOf(guest: Guest): Promise<number> {
    const rows = await this.connections()
    const port = guest.lines.socket.localPort
    const row = rows.find(({ remote }) => remote === `127.0.0.1:${port}`)
    if (!row?.pid) throw new Error(`${guest.id} is not listed: ${JSON.stringify(rows)}`)
    return row.pid
  }

  /** The web worker of the same fleet. */
  get web(): Caller {
    const target = { port: this.#webPort }
    return {
      name: 'web',
      try: async (...words) => {
        const request = { method: 'POST', body: JSON.stringify(words), timeoutMs: WEB_TIMEOUT_MS }
        const { body } = await get(target, '/', request)
        return JSON.parse(body) as Outcome
      },
    }
  }

  /** A business worker: that of this client. */
  business(guest: Guest): Caller {
    return {
      name: 'business',
      try: async (command, ...args) => withoutLook(await guest.ask('gateways', command, ...args)),
    }
  }

  /** A program of its own for each command. */
  get program(): Caller {
    return { name: 'program', try: async (...words) => (await this.runProgram([words]))[0] as Outcome }
  }

  /** @param options of its GatewayClient; default: this start file. Its deadline is that of the others. */
  async runProgram(
    commands: readonly (readonly unknown[])[],
    options: Record<string, unknown> = { startFile: this.project.startFile },
  ): Promise<Outcome[]> {
    const words = ['program.js', JSON.stringify({ options: { deadlineMs: DEADLINE_MS, ...options }, commands })]
    const { code, stdout, stderr } = await this.project.exec(process.execPath, words)
    if (code !== 0 || stderr !== '') throw new Error(`exit ${code}: ${stderr}`)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Outcome)
  }

  /** What business workers have noted, a line each: what, client, pid, redelivered. */
  get events(): { what: string; id: string; pid: number; redelivered: boolean }[] {
    const rows = this.project.written('events.log').split('\n').slice(0, -1)
    return rows.map((row) => {
      const [what = '', id = '', pid = '', redelivered = ''] = row.split(' ')
      return { what, id, pid: Number(pid), redelivered: redelivered === 'true' }
    })
  }
}

function withoutLook({ after: _, ...outcome }: Outcome & { after: Look }): Outcome {
  return outcome
}

/** A command that must not fail. */
export async function ask(caller: Caller, command: string, ...args: unknown[]): Promise<unknown> {
  const outcome = await caller.try(command, ...args)
  if ('error' in outcome) throw new Error(`${caller.name}: ${command}: ${outcome.error}: ${outcome.message}`)
  return outcome.value
}
