/**
 * Messages that nobody handles: without a business worker, beside one that hangs, and more of them than a gateway
 * keeps. They wait and are handled in order, and to those beyond happens what the option `queue` says.
 */
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import {
  answeringApp,
  businessStart,
  expectHandledInOrder,
  figuresOf,
  gatewayAlone,
  handledIn,
  linesOf,
  says,
  startFleet,
  untilLinked,
} from '../helpers/gateways.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'
import { LineClient } from '../helpers/lines.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'
import { Swarm } from '../helpers/swarm.ts'

/** Thousands of messages of one client are handled one after another: how long that takes is the machine's business. */
const MANY_TIMEOUT_MS = 150_000

/** A gateway of one start file; `startBusiness` starts the business workers, which another one in the same folder has. */
class Apart {
  readonly project: Project
  #running: Running | null = null

  private constructor(project: Project) {
    this.project = project
  }

  static async start(queue: Record<string, unknown> = {}, listen?: string): Promise<Apart> {
    const files = {
      'start.js': HELD + gatewayAlone({ queue }, listen),
      'business.js': businessStart(),
      'app.js': answeringApp(),
    }
    const apart = new Apart(Project.create(files))
    onTestFinished(() => apart.#end())
    await apart.project.start()
    return apart
  }

  async startBusiness(): Promise<void> {
    this.#running = this.project.launch(process.execPath, [join(this.project.dir, 'business.js'), 'start'])
    await this.#running.line(/^ready in /m)
  }

  async #end(): Promise<void> {
    this.#running?.kill('SIGTERM')
    await this.#running?.ended
  }

  async connect(clients: number): Promise<Swarm> {
    const swarm = await Swarm.connect({ port: await this.project.port('gateway'), clients })
    onTestFinished(() => swarm.close())
    return swarm
  }

  /** Waits until the gateway says so. */
  async says(figures: Record<string, number>): Promise<void> {
    await says(this.project, figures)
  }
}

function sayAll(swarm: Swarm, messages: number): void {
  for (let number = 0; number < messages; number++) for (const client of swarm.clients) client.say()
}

/** All that was said is answered, once and in order, and everybody is still there. */
async function expectAllAnswered(project: Project, swarm: Swarm): Promise<void> {
  await swarm.quiet(MANY_TIMEOUT_MS)
  expect({ wrongs: swarm.wrongs, repeats: swarm.repeats }).toEqual({ wrongs: [], repeats: 0 })
  expect(swarm.farewells).toEqual({ connected: swarm.clients.length })
  expectHandledInOrder(handledIn(project), swarm)
}

describe('no business worker', () => {
  it('messages wait in the gateway, and are handled in order when one comes', async () => {
    const apart = await Apart.start()
    const swarm = await apart.connect(50)
    sayAll(swarm, 100)
    await apart.says({ workers: 0, queued: 50 * 101, handedOver: 0, paused: 0 })
    await apart.startBusiness()
    await expectAllAnswered(apart.project, swarm)
    expect(handledIn(apart.project).filter(({ isRedelivered }) => isRedelivered)).toEqual([])
    await apart.says({ queued: 0, handedOver: 0, dropped: 0, redelivered: 0 })
  })

  it('a client that has said something and left is heard all the same, from its coming to its going', async () => {
    const apart = await Apart.start()
    const swarm = await apart.connect(3)
    sayAll(swarm, 10)
    await apart.says({ clients: 3, queued: 33 })
    swarm.close()
    await apart.says({ clients: 0, queued: 36 })
    await apart.startBusiness()
    await apart.says({ queued: 0, handedOver: 0 })
    expectHandledInOrder(handledIn(apart.project), swarm)
    const [came, went] = [linesOf(apart.project, 'came.txt'), linesOf(apart.project, 'went.txt')]
    expect([came.length, went]).toEqual([3, came])
  })

  it('the only one is killed, and what is started in its place fails: messages wait until one is whole again', async () => {
    const project = await startFleet({})
    const swarm = await Swarm.open({ port: await project.port('gateway'), clients: 50 })
    onTestFinished(() => swarm.close())
    await says(project, { handedOver: 0 })
    project.write('app.js', 'throw new Error("it is broken")')
    await kill(project, ...(await project.pids('business')))
    await until('it has failed', () => project.log.includes('it is broken'))
    sayAll(swarm, 50)
    await says(project, { queued: 50 * 50 })
    project.write('app.js', answeringApp())
    await expectAllAnswered(project, swarm)
  })
})

describe('more than the gateway keeps', () => {
  it('wait: the client is not read from, what it sends stalls in its own socket, and all of it is handled in the end', async () => {
    const apart = await Apart.start({ maxMessages: 50 })
    const swarm = await apart.connect(1)
    const [client] = swarm.clients
    const filler = 'x'.repeat(20_000)
    const [pid = 0] = await apart.project.pids('gateway')
    const before = await heldBytesOf(apart.project, pid)
    for (let number = 0; number < 2_000; number++) client?.say(filler)
    await apart.says({ paused: 1 })
    const { queued } = await figuresOf(apart.project)
    expect(queued).toBeLessThan(75)
    expect(client?.stalledBytes).toBeGreaterThan(20_000_000)
    expect((await heldBytesOf(apart.project, pid)) - before).toBeLessThan(4_000_000)
    await apart.startBusiness()
    await expectAllAnswered(apart.project, swarm)
    await apart.says({ queued: 0, handedOver: 0, dropped: 0, paused: 0 })
  })

  it('wait, over a protocol of lines: the same', async () => {
    const apart = await Apart.start({ maxMessages: 50 }, 'text://127.0.0.1:0')
    const client = await LineClient.open({ port: await apart.project.port('gateway'), host: '127.0.0.1' })
    onTestFinished(() => void client.socket.destroy())
    const filler = 'x'.repeat(20_000)
    for (let number = 1; number <= 2_000; number++) client.socket.write(`client-0 ${number} ${filler}\n`)
    await apart.says({ paused: 1 })
    expect((await figuresOf(apart.project))['queued']).toBeLessThan(75)
    expect(client.socket.writableLength).toBeGreaterThan(20_000_000)
    await apart.startBusiness()
    await client.line((line) => line.startsWith('answer 2000 '), MANY_TIMEOUT_MS)
    const answered = client.lines.slice(1).map((line) => Number(line.split(' ')[1]))
    expect(answered).toEqual(Array.from({ length: 2_000 }, (_, index) => index + 1))
    await apart.says({ queued: 0, handedOver: 0, dropped: 0, paused: 0 })
  })

  it('drop: the eldest are dropped and counted, the rest is handled in order', async () => {
    const apart = await Apart.start({ maxMessages: 11, overflow: 'drop' })
    const swarm = await apart.connect(20)
    sayAll(swarm, 30)
    // of the eleven, one is that the client has come
    await apart.says({ queued: 20 * 11, dropped: 20 * 20 })
    await apart.startBusiness()
    await apart.says({ queued: 0, handedOver: 0 })
    const numbers = Array.from({ length: 10 }, (_, index) => 21 + index)
    const handled = handledIn(apart.project)
    for (const { name } of swarm.clients)
      expect([name, handled.filter(({ client }) => client === name).map(({ number }) => number)]).toEqual([
        name,
        numbers,
      ])
    expect(swarm.farewells).toEqual({ connected: 20 })
    await apart.says({ dropped: 20 * 20 })
  })

  it('close: who says more is sent away with 1013, others stay', async () => {
    const apart = await Apart.start({ maxMessages: 11, overflow: 'close' })
    const swarm = await apart.connect(20)
    const [loud, ...others] = swarm.clients
    for (const client of others) for (let number = 0; number < 10; number++) client.say()
    for (let number = 0; number < 100; number++) loud?.say()
    await swarm.until('it is sent away', () => loud?.farewell !== null)
    expect(swarm.farewells).toEqual({ 1013: 1, connected: 19 })
    // what was too much
    await apart.says({ clients: 19, closed: 1, dropped: 1 })
    await apart.startBusiness()
    await swarm.until('the others are answered', () => others.every(({ answered }) => answered === 10))
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({
      wrongs: [],
      farewells: { 1013: 1, connected: 19 },
    })
  })

  it('drop, maxMs: what waits for longer is dropped and counted, what comes later is handled', async () => {
    const apart = await Apart.start({ maxMs: 500, overflow: 'drop' })
    const swarm = await apart.connect(20)
    sayAll(swarm, 5)
    await apart.says({ queued: 20, dropped: 100 })
    await apart.startBusiness()
    // it is ready a moment before the gateway hears of it, and what is said too early becomes too old
    await apart.says({ workers: 1 })
    sayAll(swarm, 1)
    await apart.says({ queued: 0, handedOver: 0, dropped: 100 })
    expect(handledIn(apart.project).map(({ number }) => number)).toEqual(Array(20).fill(6))
    expect(swarm.farewells).toEqual({ connected: 20 })
  })

  it('close, maxMs: whose message waits for longer is sent away with 1013, who says nothing stays', async () => {
    const apart = await Apart.start({ maxMs: 500, overflow: 'close' })
    const swarm = await apart.connect(10)
    const loud = swarm.clients.slice(0, 5)
    for (const client of loud) client.say()
    await swarm.until('they are sent away', () => loud.every(({ farewell }) => farewell !== null))
    await apart.says({ clients: 5, closed: 5 })
    expect(swarm.farewells).toEqual({ 1013: 5, connected: 5 })
    // the others' are not old
    await apart.startBusiness()
    await swarm.until('they are welcome', () => swarm.clients.slice(5).every(({ isWelcome }) => isWelcome))
  })
})

describe('a business worker that is busy', () => {
  it('a handler that never settles for one client holds up no other, and a reload hands its message on, marked', async () => {
    const hang = `if (what === 'hang' && !redelivered) await new Promise(() => {})`
    const project = await startFleet({ business: { stopTimeoutMs: 5_000 } }, answeringApp(hang))
    const swarm = await Swarm.open({ port: await project.port('gateway'), clients: 20, messagesPerSecond: 500 })
    onTestFinished(() => swarm.close())
    const [stuck] = swarm.clients
    stuck?.say('hang')
    for (let number = 0; number < 5; number++) stuck?.say()
    swarm.speak()
    await swarm.more(1_000)
    expect(stuck?.answered).toBe(0)
    expect((await project.reload()).summary.result).toBe('done')
    await swarm.quiet()
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 20 } })
    const handled = handledIn(project)
    expectHandledInOrder(handled, swarm)
    const again = handled.filter(({ isRedelivered }) => isRedelivered)
    expect(new Set(again.map(({ client }) => client))).toEqual(new Set([stuck?.name]))
    expect(again[0]?.number).toBe(1)
  })

  it('one that blocks its event loop: the other one answers its own meanwhile, and it answers all of its own afterwards, in order', async () => {
    const block = `if (what === 'block') blockUntilThere('go.txt')`
    const project = await startFleet({ business: { count: 2, hangTimeoutMs: 0 } }, answeringApp(block))
    const swarm = await Swarm.open({ port: await project.port('gateway'), clients: 100, messagesPerSecond: 500 })
    onTestFinished(() => swarm.close())
    for (const client of swarm.clients) client.say()
    await swarm.quiet()
    const [first] = swarm.clients
    const [held, free] = [true, false].map((isHeld) =>
      swarm.clients.filter(({ pid }) => (pid === first?.pid) === isHeld),
    )
    expect(held?.length).toBe(50)
    first?.say('block')
    await until('it is blocked', () =>
      handledIn(project).some(({ client, number }) => client === first?.name && number === 2),
    )
    const before = held?.map(({ answered }) => answered)
    swarm.speak()
    await swarm.until('the others are answered', () => free?.every(({ answered }) => answered >= 5) ?? false)
    expect(held?.map(({ answered }) => answered)).toEqual(before)
    project.write('go.txt', '')
    await expectAllAnswered(project, swarm)
    expect(await project.pids('business')).toContain(first?.pid)
  })
  it('one that is frozen: its clients are answered by the other after half a minute, and when it goes on it handles nothing of theirs', async () => {
    // the victim says nothing more to clients that are another's by then
    const slow = `if (what === 'slow' && !redelivered) {
      await there('go.txt')
      if (readFileSync('go.txt', 'utf8') === String(process.pid)) return
    }`
    const project = await startFleet({ business: { count: 2 } }, answeringApp(slow))
    const swarm = await Swarm.open({ port: await project.port('gateway'), clients: 20 })
    onTestFinished(() => swarm.close())
    for (const client of swarm.clients) client.say()
    await swarm.quiet()
    const victim = swarm.clients[0]?.pid ?? 0
    for (const client of swarm.clients)
      for (let number = 2; number <= 7; number++) client.say(number === 2 ? 'slow' : '')
    const begun = (): number => handledIn(project).filter(({ number, pid }) => number === 2 && pid === victim).length
    await until('its clients are at it', () => begun() === 10)
    await freeze(project, victim)
    project.write('go.txt', String(victim))
    await swarm.quiet()
    await thaw(project, victim)
    await untilLinked(project)
    // who comes now is given to the one that has no clients
    const next = await Swarm.open({ port: await project.port('gateway'), clients: 1 })
    onTestFinished(() => next.close())
    next.clients[0]?.say()
    await next.quiet()
    expect(next.clients[0]?.pid).toBe(victim)
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 20 } })
    // the last one is the newcomer's; of the others, those that were begun before
    const again = expectHandledInOrder(handledIn(project).slice(0, -1), swarm)
    expect(again).toBe(10)
  })
})
