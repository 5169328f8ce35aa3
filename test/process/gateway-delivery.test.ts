/**
 * What a gateway promises of messages, while business workers are replaced, killed, and more or fewer: no client is
 * disconnected, and each message is handled, in order, once; again only when a worker was killed, and then it is marked.
 */
import { describe, expect, it } from 'vitest'
import { kill } from '../helpers/faults.ts'
import {
  answeringApp,
  expectHandledInOrder,
  handledIn,
  openSwarm,
  Pusher,
  says,
  startFleet,
  untilLinked,
} from '../helpers/gateways.ts'
import { until } from '../helpers/processes.ts'
import type { Project } from '../helpers/project.ts'
import type { Swarm } from '../helpers/swarm.ts'
import { Random } from '../unit/random.ts'

describe.each([
  { count: 1, gateways: 1 },
  { count: 2, gateways: 2 },
])('business workers: $count, gateways: $gateways', ({ count, gateways }) => {
  it('H1 twenty reloads: 500 clients stay, and no message to or from them is lost, doubled or out of order', async () => {
    const project = await startFleet({ gateway: { count: gateways }, business: { count } })
    const before = await project.pids('gateway')
    const swarm = await openSwarm(project, { clients: 500, messagesPerSecond: 1_000 })
    const pusher = new Pusher(project, 500)
    swarm.speak()
    for (let round = 1; round <= 20; round++) {
      const { code, summary } = await project.reload()
      const { result, kept, replaced } = summary
      expect({ code, result, kept, replaced: replaced.length }).toEqual({
        code: 0,
        result: 'done',
        kept: ['gateway'],
        replaced: count,
      })
    }
    await swarm.more(500)
    await pusher.end()
    await swarm.quiet()
    await swarm.until('all pushes have come', () => swarm.clients.every(({ pushed }) => pushed === pusher.pushes))
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 500 } })
    expect(swarm.repeats).toBe(0)
    expect(expectHandledInOrder(handledIn(project), swarm)).toBe(0)
    // somebody of each generation; one of two may be replaced before anybody has said something to it
    expect(swarm.pids.size).toBeGreaterThanOrEqual(21)
    expect(swarm.pids.size).toBeLessThanOrEqual(21 * count)
    expect(await project.pids('gateway')).toEqual(before)
  }, 400_000)
})

/** Some take a while, so that a worker that is killed has something in hand. */
const SOMETIMES_SLOW = 'if (Math.random() < 0.2) await delay(Math.random() * 20)'

/** Kills a worker that serves, each time after some more answers, until so many are dead. */
async function killAtRandom(
  project: Project,
  swarm: Swarm,
  { kills, seed }: { kills: number; seed: number },
): Promise<void> {
  const random = new Random(seed)
  for (let round = 0; round < kills; round++) {
    await swarm.more(random.int(50, 600))
    let serving: number[] = []
    await until('a business worker serves', async () => {
      serving = await project.pids('business')
      return serving.length > 0
    })
    expect(await kill(project, random.pick(serving))).toBe(1)
  }
}

describe.each([
  { count: 1, kills: 5, seed: 1 },
  { count: 2, kills: 9, seed: 2 },
])('business workers killed at random: $kills of $count', ({ count, kills, seed }) => {
  it('clients stay, each message is handled, in order, and one that is handled again is marked', async () => {
    const project = await startFleet({ business: { count } }, answeringApp(SOMETIMES_SLOW))
    const swarm = await openSwarm(project, { clients: 500, messagesPerSecond: 1_000 })
    const pusher = new Pusher(project, 500)
    swarm.speak()
    await killAtRandom(project, swarm, { kills, seed })
    await swarm.more(500)
    await pusher.end()
    await swarm.quiet()
    await swarm.until('all pushes have come', () => swarm.clients.every(({ pushed }) => pushed === pusher.pushes))
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 500 } })
    const again = expectHandledInOrder(handledIn(project), swarm)
    expect(again).toBeGreaterThan(0)
    const { redelivered } = await says(project, { dropped: 0, fatal: 0, handedOver: 0, queued: 0 })
    expect(redelivered).toBeGreaterThanOrEqual(again)
  })

  it('at most once: clients stay, no message is handled twice, and none is missing that is not counted as lost', async () => {
    const gateway = { delivery: 'at-most-once' }
    const project = await startFleet({ gateway, business: { count } }, answeringApp(SOMETIMES_SLOW))
    const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000, isLossy: true, ahead: 1_000 })
    swarm.speak()
    await killAtRandom(project, swarm, { kills, seed })
    await swarm.more(500)
    // the last word is handed to nobody who is dead
    await untilLinked(project)
    for (const client of swarm.clients) client.say()
    await swarm.quiet()
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 200 } })
    const handled = handledIn(project)
    const names = handled.map(({ client, number }) => `${client} ${number}`)
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
    expect(handled.filter(({ isRedelivered }) => isRedelivered)).toEqual([])
    const sent = swarm.clients.reduce((sum, client) => sum + client.sent, 0)
    const { dropped } = await says(project, { handedOver: 0, queued: 0 })
    // a kill may meet a worker that has nothing in hand; what it does lose is the next test's
    expect(dropped).toBeGreaterThanOrEqual(sent - handled.length)
  })
})

it('at most once: what a killed worker had begun or waited for is lost, that much is counted, and the rest is handled', async () => {
  const isHung = `if (what === 'hang') await new Promise(() => {})`
  const project = await startFleet({ gateway: { delivery: 'at-most-once' } }, answeringApp(isHung))
  const swarm = await openSwarm(project, { clients: 10, isLossy: true })
  await says(project, { handedOver: 0 })
  for (const client of swarm.clients) for (let number = 1; number <= 5; number++) client.say(number === 1 ? 'hang' : '')
  await says(project, { handedOver: 50 })
  await until('all have begun', () => handledIn(project).length === 10)
  await kill(project, ...(await project.pids('business')))
  await says(project, { dropped: 50 })
  for (const client of swarm.clients) client.say()
  await swarm.quiet()
  expect(
    handledIn(project)
      .map(({ number }) => number)
      .sort(),
  ).toEqual([...Array(10).fill(1), ...Array(10).fill(6)])
  await says(project, { dropped: 50, redelivered: 0, handedOver: 0, queued: 0 })
})

it('more and fewer business workers under load: no message is lost, doubled or out of order', async () => {
  const project = await startFleet({ business: { count: 1 } })
  const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000 })
  swarm.speak()
  for (const count of [3, 2, 4, 1, 2, 1]) {
    expect((await project.shiftwork('scale', `business=${count}`)).code).toBe(0)
    await swarm.more(300)
  }
  await swarm.quiet()
  expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 200 } })
  expect({ again: expectHandledInOrder(handledIn(project), swarm), repeats: swarm.repeats }).toEqual({
    again: 0,
    repeats: 0,
  })
})

it('business workers that are replaced and killed at the same time, those that start and those that leave, too: each message is handled, in order, marked when again', async () => {
  const project = await startFleet({ business: { count: 2 } }, answeringApp(SOMETIMES_SLOW))
  const gateways = await project.pids('gateway')
  const swarm = await openSwarm(project, { clients: 200, messagesPerSecond: 1_000 })
  const random = new Random(3)
  swarm.speak()
  for (let round = 0; round < 6; round++) {
    const reloading = project.reload()
    for (let killed = 0; killed < 2; ) {
      await swarm.more(random.int(20, 200))
      const { groups } = await project.status()
      const rows = groups.find(({ name }) => name === 'business')?.processes ?? []
      const pids = rows.map(({ pid }) => pid).filter((pid) => pid !== null)
      if (pids.length > 0) killed += await kill(project, random.pick(pids))
    }
    await reloading
  }
  await swarm.quiet()
  expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 200 } })
  expectHandledInOrder(handledIn(project), swarm)
  await says(project, { dropped: 0, fatal: 0, handedOver: 0, queued: 0 })
  expect(await project.pids('gateway')).toEqual(gateways)
})
