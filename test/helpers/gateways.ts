/**
 * A fleet of one gateway and business workers whose code answers a `Swarm`, and writes down what it has
 * handled; and what such a ledger must say.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished } from 'vitest'
import { GatewayClient } from '../../src/gateway/index.ts'
import type { Figures } from '../../src/ipc/status.ts'
import { until } from './processes.ts'
import { Project } from './project.ts'
import { Swarm, type SwarmOptions } from './swarm.ts'

/** Each push is a message to every client. */
const PUSH_EVERY_MS = 100
/** It stands behind all that the swarm has said: how long that takes is the machine's business. */
const PUSH_DEADLINE_MS = 60_000

export interface FleetOptions {
  listen?: string
  gateway?: Record<string, unknown>
  business?: Record<string, unknown>
}

/** The text of a start file; the business workers' code is in `app.js`. */
export function gatewayStart({
  listen = 'websocket://127.0.0.1:0',
  gateway = {},
  business = {},
}: FleetOptions): string {
  return `
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway } from 'shiftwork/gateway'
new Gateway(${JSON.stringify(listen)}, ${JSON.stringify({ name: 'gateway', ...gateway })})
${businessOf(business)}
Worker.runAll()
`
}

/** A gateway alone. */
export function gatewayAlone(gateway: Record<string, unknown> = {}, listen = 'websocket://127.0.0.1:0'): string {
  return `
import { Worker } from 'shiftwork'
import { Gateway } from 'shiftwork/gateway'
new Gateway(${JSON.stringify(listen)}, ${JSON.stringify({ name: 'gateway', ...gateway })})
Worker.runAll()
`
}

/** Business workers alone: their gateway is another start file's, in the same folder. */
export function businessStart(business: Record<string, unknown> = {}): string {
  return `
import { Worker } from 'shiftwork'
import { BusinessWorker } from 'shiftwork/gateway'
${businessOf(business)}
Worker.runAll()
`
}

function businessOf(options: Record<string, unknown>): string {
  return `
const business = new BusinessWorker(${JSON.stringify({ name: 'business', bakeMs: 0, ...options })})
business.onWorkerStart = async () => Object.assign(business, await import('./app.js'))
`
}

/**
 * Handles `<client> <number> <what>`: writes it down in `handled.txt`, and then answers. Who has come and gone is in `came.txt`
 * and `went.txt`. `meanwhile` stands between the two, and may wait until there is a file.
 */
export function answeringApp(meanwhile = ''): string {
  return `
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
const there = async (file) => {
  while (!existsSync(file)) await delay(20)
}
const blockUntilThere = (file) => {
  while (!existsSync(file)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
}
const note = (file, ...words) => appendFileSync(file, words.join(' ') + '\\n')
export const onConnect = async (client, { redelivered }) => {
  note('came.txt', client.id, redelivered ? 'redelivered' : 'first')
  await client.join('room')
  await client.send('welcome')
}
export const onMessage = async (client, data, { redelivered, attempts }) => {
  const [name, number, what] = data.split(' ')
  const mark = redelivered ? 'redelivered' : 'first'
  note('handled.txt', name, number, process.pid, mark)
  ${meanwhile}
  await client.send(['answer', number, process.pid, mark].join(' '))
}
export const onClose = (client, { redelivered }) => note('went.txt', client.id, redelivered ? 'redelivered' : 'first')
`
}

/** Pushes to the group of all clients, one after another, from outside of the fleet, until it is told to end. */
export class Pusher {
  /** The number of the last push. */
  pushes = 0
  readonly #gateways: GatewayClient
  readonly #clients: number
  readonly #loop: Promise<void>
  #isOn = true

  constructor(project: Project, clients: number) {
    this.#gateways = new GatewayClient({ startFile: project.startFile, deadlineMs: PUSH_DEADLINE_MS })
    this.#clients = clients
    this.#loop = this.#run()
  }

  async #run(): Promise<void> {
    while (this.#isOn) {
      const { sent, buffered, full, missing } = await this.#gateways.sendToGroup('room', `push ${++this.pushes}`)
      expect({ reached: sent + buffered, full, missing }).toEqual({ reached: this.#clients, full: 0, missing: [] })
      await delay(PUSH_EVERY_MS)
    }
  }

  async end(): Promise<void> {
    this.#isOn = false
    await this.#loop
    this.#gateways.disconnect()
  }
}

/** What the gateway says of itself, once it says something; of several, the first. */
export async function figuresOf(project: Project): Promise<Figures> {
  let told: Figures = {}
  await until('the gateway says its figures', async () => {
    const group = (await project.status()).groups.find(({ name }) => name === 'gateway')
    const figures = group?.processes[0]?.figures ?? null
    told = figures ?? {}
    return figures !== null
  })
  return told
}

/** Waits until the gateway says so. @returns all that it says then. */
export async function says(project: Project, figures: Figures): Promise<Figures> {
  let told: Figures = {}
  const look = async (): Promise<Figures> => {
    told = await figuresOf(project)
    return told
  }
  await expect.poll(look, { timeout: 120_000 }).toMatchObject(figures)
  return told
}

/** One line of `handled.txt`. */
export interface Handled {
  readonly client: string
  readonly number: number
  readonly pid: number
  readonly isRedelivered: boolean
}

export function handledIn(project: Project): Handled[] {
  return linesOf(project, 'handled.txt').map(([client = '', number, pid, mark]) => ({
    client,
    number: Number(number),
    pid: Number(pid),
    isRedelivered: mark === 'redelivered',
  }))
}

export function linesOf(project: Project, file: string): string[][] {
  const lines = project.written(file).split('\n').filter(Boolean)
  return lines.map((line) => line.split(' '))
}

/**
 * Every client's messages were handled from the first to the last that it has sent: each for the first time in order, and
 * again only when marked. @returns how many were handled again.
 */
export function expectHandledInOrder(handled: readonly Handled[], { clients }: Swarm): number {
  const last = new Map<string, number>()
  let again = 0
  for (const { client, number, isRedelivered } of handled) {
    const before = last.get(client) ?? 0
    if (number <= before && isRedelivered) again++
    else expect(`${client} ${number}`).toBe(`${client} ${before + 1}`)
    if (number > before) last.set(client, number)
  }
  expect(clients.map(({ name }) => [name, last.get(name) ?? 0])).toEqual(clients.map(({ name, sent }) => [name, sent]))
  return again
}

/** A fleet of a gateway and business workers that serves and is linked. */
export async function startFleet(options: FleetOptions, app = answeringApp()): Promise<Project> {
  const project = Project.create({ 'start.js': gatewayStart(options), 'app.js': app })
  await project.start()
  await untilLinked(project)
  return project
}

/** Each gateway has every business worker: clients that come earlier are shared among those that it has. */
export function untilLinked(project: Project): Promise<void> {
  return until('all are linked', async () => {
    const { groups } = await project.status()
    const processesOf = (name: string) => groups.find((group) => group.name === name)?.processes ?? []
    const workers = processesOf('business').length
    return processesOf('gateway').every(({ figures }) => figures?.['workers'] === workers)
  })
}

/** Clients of its gateway, until the test is over. */
export async function openSwarm(project: Project, options: Omit<SwarmOptions, 'port'>): Promise<Swarm> {
  const swarm = await Swarm.open({ port: await project.port('gateway'), ...options })
  onTestFinished(() => swarm.close())
  return swarm
}
