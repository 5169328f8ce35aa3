/** A master killed under load while every request logs a line. F4. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { quietPorts } from '../helpers/cli.ts'
import { Client, get } from '../helpers/client.ts'
import { gone, kill } from '../helpers/faults.ts'
import { Load, type LoadResult } from '../helpers/load.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'

/** Logs each request, before it is answered and after, and whose connection it is. */
const TALKS = `
import { openSync, writeSync } from 'node:fs'
const accepted = openSync('accepted.txt', 'a')
${app(
  '1',
  `worker.server.on('connection', (socket) => writeSync(accepted, socket.remotePort + '\\n'))
  worker.server.on('request', (request, response) => {
    console.log('begins', request.url, 'x'.repeat(200))
    response.on('close', () => console.error('ended', request.url))
  })`,
)}`

const WAYS: Record<string, (project: Project) => Promise<Running | null>> = {
  'in the foreground': (project) => project.start(),
  'in the foreground, its reader gone': async (project) => {
    const running = await project.start()
    running.release()
    return running
  },
  'as a daemon': async (project) => {
    expect((await project.shiftwork('start', '-d')).code).toBe(0)
    return null
  },
}

/** What was accepted is answered; what came later is refused, or was still waiting to be accepted by anybody. */
function judge(project: Project, { losses, counts }: LoadResult, clients: number): void {
  const accepted = new Set(project.read('accepted.txt').trim().split('\n').map(Number))
  const broken = losses.filter(({ outcome }) => outcome !== 'refused')
  expect(broken.filter((loss) => loss.servedBy !== null || accepted.has(loss.port))).toEqual([])
  expect(counts).toMatchObject({ wrong: 0, timeout: 0, refused: clients })
}

for (const [how, start] of Object.entries(WAYS))
  it(`F4 a master killed under load (${how}): what was accepted is answered, later clients are refused, the next start works at once`, async () => {
    const [port = 0] = await quietPorts(1)
    const project = Project.create({
      'start.js': webStart({ count: 2 }, `http://127.0.0.1:${port}`),
      'app.js': TALKS,
    })
    await start(project)
    const load = new Load({
      target: { port },
      clients: 30,
      pauseMs: [0, 10],
      slowShare: 0.05,
      endsRefused: true,
      maxMs: 40_000,
    })
    await load.more(300)
    const pids = await project.pids()
    await kill(project, (await project.status()).master.pid)
    judge(project, await load.ended(), 30)
    await gone(...pids)
    expect((await project.shiftwork('status')).code).toBe(3)
    await project.start()
    const after = new Load({ target: { port }, clients: 3, pauseMs: [0, 5] })
    await after.more(30)
    expect((await after.stop()).errors).toEqual([])
  })

it('F4 over a unix socket: while what a killed master had accepted is answered, the next start serves in its place', async () => {
  const project = Project.create({ 'app.js': app('1') })
  const path = `${project.root}/web.sock`
  project.write('start.js', webStart({ count: 1, stopTimeoutMs: 60_000 }, `http+unix://${path}`))
  await project.start()
  const { master, groups } = await project.status()
  const held = await Client.open({ path })
  // its end is not sent until the next master serves
  held.send({ method: 'POST', headers: { 'Content-Length': '2' } })
  await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 1)
  await kill(project, master.pid)
  await project.start()
  expect(isAlive(groups[0]?.processes[0]?.pid ?? 0)).toBe(true)
  expect((await get({ path })).status).toBe(200)
  held.socket.write('ok')
  expect((await held.answer('POST')).status).toBe(200)
})
