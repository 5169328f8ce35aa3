/**
 * What ends the process that handles it: a message, or that a client comes or goes. It costs a few workers, and nobody
 * else anything.
 */
import { expect, it, onTestFinished } from 'vitest'
import { FrameClient } from '../helpers/frames.ts'
import {
  answeringApp,
  expectHandledInOrder,
  figuresOf,
  gatewayStart,
  handledIn,
  linesOf,
  openSwarm,
  says,
  untilLinked,
} from '../helpers/gateways.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'

/** The pid of each worker that was lost; those that are asked to leave are none. */
function lostIn({ log }: Project): string[] {
  return [...log.matchAll(/ business\/\d+ \(pid (\d+)\) left (?:with code|by) /g)].map(([, pid = '']) => pid)
}

async function start(
  app: string,
  business: Record<string, unknown> = {},
): Promise<{ project: Project; running: Running }> {
  const files = { 'start.js': gatewayStart({ business: { count: 2, ...business } }), 'app.js': app }
  const project = Project.create(files)
  const running = await project.start()
  await untilLinked(project)
  return { project, running }
}

it.each([
  ['process.exit in a handler', 'process.exit(1)', {}],
  ['an error that nobody catches', "setImmediate(() => { throw new Error('bad') }); await new Promise(() => {})", {}],
  ['an endless loop', 'for (;;);', { hangTimeoutMs: 5_000 }],
])(
  '%s: the message is dropped after six workers, and all others are handled and answered, in order',
  async (_, deed, business) => {
    const app = answeringApp(`if (what === 'die') { note('attempts.txt', attempts, process.pid); ${deed} }`)
    const { project, running } = await start(app, business)
    const swarm = await openSwarm(project, { clients: 60, messagesPerSecond: 200, isLossy: true })
    swarm.speak()
    await swarm.more(100)
    const [bad] = swarm.clients
    bad?.say('die')
    for (let message = 0; message < 5; message++) bad?.say()
    // those that hang are missed, ended and replaced, one after the other
    await expect.poll(() => figuresOf(project), { timeout: 300_000 }).toMatchObject({ fatal: 1 })
    await swarm.more(100)
    await swarm.quiet()
    expect({ wrongs: swarm.wrongs, farewells: swarm.farewells }).toEqual({ wrongs: [], farewells: { connected: 60 } })
    const again = expectHandledInOrder(handledIn(project), swarm)
    expect(again).toBeGreaterThanOrEqual(2)
    const sent = swarm.clients.reduce((sum, client) => sum + client.sent, 0)
    expect(swarm.answers - swarm.repeats).toBe(sent - 1)
    const attempts = linesOf(project, 'attempts.txt')
    expect(attempts.map(([attempt]) => attempt)).toEqual(['1', '2', '3', '4', '5', '6'])
    await says(project, { fatal: 1, dropped: 0, queued: 0, handedOver: 0 })
    const guilty = attempts.map(([, pid = '']) => pid)
    // a gateway knows it before the master has written it down
    await until('all of them are logged', () => guilty.every((pid) => lostIn(project).includes(pid)))
    const lost = lostIn(project)
    // a busy machine may stall others for as long as one that hangs
    if ('hangTimeoutMs' in business) expect(lost).toEqual(expect.arrayContaining(guilty))
    else expect(lost).toEqual(guilty)
    await running.line(
      /^shiftwork: a message of client \S+ is dropped \(\d+ bytes\): 6 business workers were lost in its onMessage$/m,
    )
  },
  400_000,
)

it('a client whose onConnect ends workers is sent away after six, and its messages are not handled', async () => {
  const app = `
    import { appendFileSync } from 'node:fs'
    const note = (...words) => appendFileSync('events.txt', words.join(' ') + '\\n')
    export const onWebSocketConnect = (client, { url }) => {
      if (url === '/die') process.exit(1)
    }
    export const onMessage = (client, data) => {
      note('message', data)
      if (data === 'die at the end') return client.join('the end')
      return client.send('heard ' + data)
    }
    export const onClose = (client) => {
      note('close')
      if (client.groups.has('the end')) process.exit(1)
    }`
  const { project, running } = await start(app)
  const target = { port: await project.port('gateway') }
  const other = await FrameClient.open(target)
  onTestFinished(() => other.close())
  const bad = await FrameClient.open(target, { path: '/die' })
  bad.send('not heard')
  expect(await bad.farewell()).toMatchObject({ code: 1011 })
  await says(project, { fatal: 1, dropped: 1, clients: 1, queued: 0, handedOver: 0 })
  other.send('all the same')
  expect(await other.text()).toBe('heard all the same')
  await running.line(/^shiftwork: client \S+ is sent away: 6 business workers were lost in its onConnect$/m)
  await until('all of them are logged', () => lostIn(project).length >= 6)
  expect(lostIn(project)).toHaveLength(6)
  expect(linesOf(project, 'events.txt').map((words) => words.join(' '))).toEqual(['close', 'message all the same'])

  const last = await FrameClient.open(target)
  last.send('die at the end')
  await says(project, { clients: 2, queued: 0, handedOver: 0 })
  last.close()
  await says(project, { fatal: 2, clients: 1, queued: 0, handedOver: 0 })
  await running.line(/^shiftwork: onClose of client \S+ is not called again: 6 business workers were lost in it$/m)
  await until('all of them are logged', () => lostIn(project).length >= 12)
  expect(lostIn(project)).toHaveLength(12)
})
