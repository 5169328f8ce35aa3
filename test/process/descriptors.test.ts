/** What happens when file descriptors run out: in a worker, in all of them, in the master. */
import { expect, it } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import { Client, get } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'

/** Answers with its pid; SIGWINCH opens files until their numbers reach 245, or closes them. */
const EATER = `
import { closeSync, openSync } from 'node:fs'
export function createApp() {
  const eaten = []
  process.on('SIGWINCH', () => {
    if (eaten.length > 0) for (const descriptor of eaten.splice(0)) closeSync(descriptor)
    else while ((eaten.at(-1) ?? 0) < 245) eaten.push(openSync('/dev/null'))
  })
  return (request, response) => {
    const reply = () => response.end(JSON.stringify({ pid: process.pid, version: '1' }))
    if (request.url === '/slow') setTimeout(reply, 800)
    else reply()
  }
}
`

/** Starts with room for so many descriptors in each process. */
async function startWithin(limit: number, project: Project): Promise<Running> {
  const words = ['-c', `ulimit -n ${limit} && exec "$0" "$@"`, process.execPath, project.startFile, 'start']
  const running = project.launch('bash', words)
  await running.line(/^ready in /m)
  return running
}

/** Connections that say nothing. */
async function silent(port: number, count: number): Promise<Client[]> {
  return Promise.all(Array.from({ length: count }, () => Client.open({ port })))
}

const lines = (project: Project, pattern: RegExp): string[] =>
  project.log.split('\n').filter((line) => pattern.test(line))

it('E9 a worker out of descriptors stops listening, beside a healthy one that answers all; it comes back when it has room', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': EATER })
  await startWithin(256, project)
  const [port, [full = 0, healthy = 0]] = [await project.port(), await project.pids()]
  const loads = [true, false].map(
    (isShort) => new Load({ target: { port }, clients: 15, pauseMs: [0, 10], isShort, slowShare: 0.01 }),
  )
  const more = (count: number) => Promise.all(loads.map((load) => load.more(count)))
  const answersOf = (pid: number) => loads.reduce((sum, load) => sum + (load.result.byPid.get(pid) ?? 0), 0)
  await more(100)
  process.kill(full, 'SIGWINCH')
  const warning = 'web/0 is out of file descriptors'
  const warnings = async () => (await project.status()).master.warnings.filter((text) => text.startsWith(warning))
  await until('it says so', async () => (await warnings()).length > 0, 5_000)
  expect((await warnings())[0]).toMatch(/\(2\d\d of 256\): accepts nothing until it has some$/)
  // its connections end with their next answers
  await until('it has no connection left', async () => {
    const status = await project.status()
    return status.groups[0]?.processes[0]?.connections === 0
  })
  // what it has answered may still be on its way to the clients
  await more(50)
  const before = { full: answersOf(full), healthy: answersOf(healthy) }
  await more(200)
  expect(answersOf(full)).toBe(before.full)
  expect(answersOf(healthy)).toBeGreaterThan(before.healthy)

  process.kill(full, 'SIGWINCH')
  await until('it has room', async () => (await warnings()).length === 0)
  await until('it answers again', () => answersOf(full) > before.full)
  const results = await Promise.all(loads.map((load) => load.stop()))
  for (const { errors, failed } of results) expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
  expect(await project.pids()).toEqual([full, healthy])
  expect(lines(project, /out of file descriptors/)).toHaveLength(1)
  expect(lines(project, /has file descriptors again/)).toHaveLength(1)
})

it('E9 silent connections, three times as many as there are descriptors: others are answered within seconds, none is reset', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': EATER })
  await startWithin(256, project)
  const [port, before] = [await project.port(), await project.pids()]
  const keeping = await Client.open({ port })
  await keeping.request()
  const flood = await silent(port, 700)
  await until('both are full', async () => (await project.status()).master.warnings.length === 2)
  // one that is served on a connection of old is served on, and hears that this was the last answer
  expect((await keeping.request()).headers.get('connection')).toBe('close')
  const askedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 20 }, () => get({ port })))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect(performance.now() - askedAt).toBeLessThan(20_000)
  for (const client of flood) client.close()
  await until('both have room', async () => (await project.status()).master.warnings.length === 0)
  expect((await get({ port })).status).toBe(200)
  expect(await project.pids()).toEqual(before)
  expect(lines(project, /file descriptors/).length).toBeLessThanOrEqual(8)
})

it('E9 a worker that does not listen for want of descriptors is reloaded like any other', async () => {
  const start = webStart({ count: 1, server: { keepAliveTimeout: 500 } })
  const project = Project.create({ 'start.js': start, 'app.js': EATER })
  await startWithin(256, project)
  const port = await project.port()
  const [old = 0] = await project.pids()
  const flood = await silent(port, 250)
  await until('it is full', async () => (await project.status()).master.warnings.length === 1)
  const waiting = get({ port })
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
  expect(JSON.parse((await waiting).body)).toMatchObject({ pid: (await project.pids())[0] })
  expect((await project.status()).master.warnings).toEqual([])
  expect(await project.pids()).not.toContain(old)
  for (const client of flood) client.close()
})
