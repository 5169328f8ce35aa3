/**
 * The end of a gateway: its clients are told 1012, what they have said by then is handled, and their business
 * workers hear of each that it has gone, once. And the end of business workers beside it.
 */
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { kill } from '../helpers/faults.ts'
import {
  answeringApp,
  businessStart,
  expectHandledInOrder,
  figuresOf,
  gatewayAlone,
  handledIn,
  linesOf,
  openSwarm,
  says,
  startFleet,
} from '../helpers/gateways.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import type { Swarm } from '../helpers/swarm.ts'

/** Everyone was told 1012, and the business workers heard of each that it came and went: once, in first words. */
async function expectParted(project: Project, swarm: Swarm): Promise<void> {
  const clients = swarm.clients.length
  await swarm.until('all are told', () => swarm.clients.every(({ farewell }) => farewell !== null))
  expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { 1012: clients } })
  const [came, went] = ['came.txt', 'went.txt'].map((file) =>
    linesOf(project, file)
      .map((words) => words.join(' '))
      .sort(),
  )
  expect(went).toEqual(came)
  expect(new Set(went).size).toBe(clients)
  expect(went?.filter((line) => !line.endsWith(' first'))).toEqual([])
}

/** Goodbyes wait for answers no longer than 2 s: when the last came about as late, some did not wait for all. */
const LATE_MS = 1_500

/** When the gateway was told to leave, as the log says. */
function orderedAt({ log }: Project): number {
  const [, time = ''] = /^(\S+) info {2}gateway\/0 \(pid \d+\) drains /m.exec(log) ?? []
  return Date.parse(time)
}

/**
 * What was handled was answered before the 1012, from the first on, in order and without a gap.
 * @param leaving `from`: not later than the gateway has begun to leave.
 */
function expectAnsweredIsHandled(project: Project, swarm: Swarm, leaving = { from: orderedAt(project) }): void {
  const handled = handledIn(project)
  const partingMs = swarm.partedAt - leaving.from
  expect(partingMs).toBeGreaterThan(0)
  for (const { name, answered } of swarm.clients) {
    const numbers = handled.filter(({ client }) => client === name).map(({ number }) => number)
    const length = partingMs < LATE_MS ? answered : Math.max(answered, numbers.length)
    expect([name, numbers]).toEqual([name, Array.from({ length }, (_, index) => index + 1)])
  }
}

it('a gateway is replaced by force under load: each client is told 1012 behind the answers to what was handled, and onClose is called for each once', async () => {
  const project = await startFleet({ business: { count: 2 } })
  const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000 })
  swarm.speak()
  await swarm.more(1_000)
  const { code, summary } = await project.reload('gateway', '--force')
  expect({ code, result: summary.result, cut: summary.replaced.map((row) => row.connectionsCut) }).toEqual({
    code: 0,
    result: 'done',
    cut: [0],
  })
  await expectParted(project, swarm)
  expectAnsweredIsHandled(project, swarm)
  const next = await openSwarm(project, { clients: 20, messagesPerSecond: 500 })
  next.speak()
  await next.more(100)
  await next.quiet()
  expect(next.wrongs).toEqual([])
})

it('a stop of gateways that are after their business workers: each client is told 1012 behind the answers to what was handled, and onClose is called for each once', async () => {
  const project = await startFleet({ gateway: { after: ['business'] }, business: { count: 2 } })
  const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000 })
  swarm.speak()
  await swarm.more(1_000)
  expect((await project.shiftwork('stop')).code).toBe(0)
  await expectParted(project, swarm)
  expectAnsweredIsHandled(project, swarm)
})

it('F4 a killed master: gateway and business workers leave, and each client is told 1012 behind the answers to what was handled; the next start works', async () => {
  const project = await startFleet({ business: { count: 2 } })
  const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000 })
  swarm.speak()
  await swarm.more(1_000)
  const { master } = await project.status()
  const killedAt = Date.now()
  await kill(project, master.pid)
  await until('all have left', () => project.processes.length === 0)
  await expectParted(project, swarm)
  expectAnsweredIsHandled(project, swarm, { from: killedAt })
  await project.start()
  const next = await openSwarm(project, { clients: 20 })
  for (const client of next.clients) client.say()
  await next.quiet()
  expect(next.wrongs).toEqual([])
})

/** A fleet whose business worker has begun the first message of each client, and goes on when there is `go.txt`. */
async function startLoaded(): Promise<{ project: Project; swarm: Swarm }> {
  const project = await startFleet({ gateway: { bakeMs: 0 } }, answeringApp("await there('go.txt')"))
  const swarm = await openSwarm(project, { clients: 5 })
  await says(project, { handedOver: 0 })
  for (const client of swarm.clients) for (let number = 0; number < 120; number++) client.say()
  await until('it has all', async () => {
    const { queued, handedOver } = await figuresOf(project)
    return Number(queued) + Number(handedOver) === 600 && handledIn(project).length === 5
  })
  return { project, swarm }
}

it('what clients have said before their gateway leaves is handled in full, also by handlers that need longer than its goodbyes', async () => {
  const { project, swarm } = await startLoaded()
  const reload = project.reload('gateway', '--force')
  await swarm.until('all are told', () => swarm.clients.every(({ farewell }) => farewell !== null))
  expect(handledIn(project)).toHaveLength(5)
  project.write('go.txt', '')
  expect((await reload).summary).toMatchObject({ result: 'done' })
  await expectParted(project, swarm)
  expectHandledInOrder(handledIn(project), swarm)
})

it('what clients have said before their gateway leaves is handled in full, also when its only business worker is killed meanwhile', async () => {
  const { project, swarm } = await startLoaded()
  const reload = project.reload('gateway', '--force')
  await until('it leaves', () => project.log.includes(' drains'))
  await kill(project, ...(await project.pids('business')))
  project.write('go.txt', '')
  expect((await reload).summary).toMatchObject({ result: 'done' })
  await swarm.until('all are told', () => swarm.clients.every(({ farewell }) => farewell !== null))
  expect(swarm.farewells).toEqual({ 1012: 5 })
  expect(expectHandledInOrder(handledIn(project), swarm)).toBe(5)
})

/** Stops what would not end by itself: the deadline is when everybody was told goodbye, however long that takes. */
async function stopWhenTold(project: Project, swarm: Swarm): Promise<{ code: number | null }> {
  const stopping = project.shiftwork('stop', '--timeout', '60', '--json')
  await swarm.until('all are told', () => swarm.clients.every(({ farewell }) => farewell !== null))
  await says(project, { clients: 0 })
  expect((await project.shiftwork('stop', '--timeout', '0')).code).toBe(0)
  const { code, stdout } = await stopping
  return { code, ...(JSON.parse(stdout) as object) }
}

it('a gateway that is cut at its deadline has lost no connection: those of its business workers are no clients', async () => {
  const files = { 'start.js': gatewayAlone(), 'business.js': businessStart({ stopTimeoutMs: 500 }) }
  const app = answeringApp('await new Promise(() => {})')
  const project = Project.create({ ...files, 'app.js': app })
  await project.start()
  const business = project.launch(process.execPath, [join(project.dir, 'business.js'), 'start'])
  onTestFinished(async () => {
    business.kill('SIGTERM')
    await business.ended
  })
  await business.line(/^ready in /m)
  const swarm = await openSwarm(project, { clients: 1 })
  for (const client of swarm.clients) client.say()
  await until('it is begun', () => handledIn(project).length === 1)
  expect(await stopWhenTold(project, swarm)).toMatchObject({ code: 0, connectionsCut: 0 })
  expect(swarm.farewells).toEqual({ 1012: 1 })
  expect(project.log).not.toContain(' cut ')
})

it('a stop while clients are paused and nobody handles what they say does not wait for them', async () => {
  const app = answeringApp(`if (what === 'hang') await new Promise(() => {})`)
  const project = await startFleet({ gateway: { queue: { maxMessages: 10 } }, business: { stopTimeoutMs: 500 } }, app)
  const swarm = await openSwarm(project, { clients: 1 })
  const [client] = swarm.clients
  client?.say('hang')
  for (let number = 0; number < 100; number++) client?.say()
  await until('it is paused', async () => (await figuresOf(project))['paused'] === 1)
  expect((await project.shiftwork('scale', 'business=1')).code).toBe(0)
  expect((await stopWhenTold(project, swarm)).code).toBe(0)
  expect(swarm.farewells).toEqual({ 1012: 1 })
})
