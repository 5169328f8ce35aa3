/**
 * What a gateway promises of messages, while business workers are replaced, killed, and more or fewer: no client is
 * disconnected, and each message is handled, in order, once; again only when a worker was killed, and then it is marked.
 */
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  answeringApp,
  expectHandledInOrder,
  type FleetOptions,
  gatewayStart,
  handledIn,
  Pusher,
} from '../helpers/gateways.ts'
import { Project } from '../helpers/project.ts'
import { Swarm, type SwarmOptions } from '../helpers/swarm.ts'

async function startFleet(options: FleetOptions, app = answeringApp()): Promise<Project> {
  const project = Project.create({ 'start.js': gatewayStart(options), 'app.js': app })
  await project.start()
  return project
}

async function openSwarm(project: Project, options: Omit<SwarmOptions, 'port'>): Promise<Swarm> {
  const swarm = await Swarm.open({ port: await project.port('gateway'), ...options })
  onTestFinished(() => swarm.close())
  return swarm
}

describe.each([1, 2])('business workers: %i', (count) => {
  it('H1 twenty reloads: 500 clients stay, and no message to or from them is lost, doubled or out of order', async () => {
    const project = await startFleet({ business: { count } })
    const [gateway] = await project.pids('gateway')
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
    expect(swarm.pids.size).toBe(21 * count)
    expect(await project.pids('gateway')).toEqual([gateway])
  })
})
