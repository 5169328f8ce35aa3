/** What happens when file descriptors run out: in a worker, in all of them, in the master. */
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Client, get } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { descriptorsOf } from '../helpers/leaks.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'
import { EATER, eats, logLines, silent, startStarved } from '../helpers/starved.ts'

const WARNING = 'the master is out of file descriptors'

/** A start file whose own top level, which runs in the master, too, eats there. */
function hungryStart(upTo: number): string {
  return `
import cluster from 'node:cluster'
import { closeSync, openSync } from 'node:fs'
if (cluster.isPrimary) {${eats(upTo)}
}
${webStart({ count: 2 })}`
}

it('E9 a worker out of descriptors stops listening, beside a healthy one that answers all; it comes back when it has room', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': EATER })
  await startStarved(project, 256)
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
  await until('it says so', async () => (await warnings()).length > 0)
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
  expect(logLines(project, /out of file descriptors/)).toHaveLength(1)
  // a handle that is two seconds on its way is asked for once more
  expect([1, 2]).toContain(logLines(project, /has file descriptors again/).length)
})

it('E9 silent connections, three times as many as there are descriptors: others are answered within seconds, none is reset', async () => {
  // a longer deadline of a stop than an idle connection may last is no reason for a warning
  const start = webStart({ count: 2, stopTimeoutMs: 61_000, server: { keepAliveTimeout: 60_000 } })
  const project = Project.create({ 'start.js': start, 'app.js': EATER })
  await startStarved(project, 256)
  const [port, before] = [await project.port(), await project.pids()]
  const keeping = await Client.open({ port })
  await keeping.request()
  const flood = await silent(port, 700)
  // one that is served on a connection of old is served on, and hears that this was the last answer
  const isLast = async () => (await keeping.request()).headers.get('connection') === 'close'
  await until('its worker is full', isLast)
  await until('both are full', async () => (await project.status()).master.warnings.length === 2)
  const askedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 20 }, () => get({ port }, '/', { timeoutMs: 60_000 })))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  // Node.js itself closes what is silent after a minute
  expect(performance.now() - askedAt).toBeLessThan(40_000)
  for (const client of flood) client.close()
  await until('both have room', async () => (await project.status()).master.warnings.length === 0)
  expect((await get({ port })).status).toBe(200)
  expect(await project.pids()).toEqual(before)
  expect(logLines(project, /file descriptors/).length).toBeLessThanOrEqual(8)
})

it('E9 a worker that does not listen for want of descriptors is reloaded like any other', async () => {
  const start = webStart({ count: 1, server: { keepAliveTimeout: 500 } })
  const project = Project.create({ 'start.js': start, 'app.js': EATER })
  await startStarved(project, 256)
  const port = await project.port()
  const [old = 0] = await project.pids()
  const flood = await silent(port, 250)
  await until('it is full', async () => (await project.status()).master.warnings.length === 1)
  const waiting = get({ port }, '/', { timeoutMs: 60_000 })
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
  const fresh = await project.pids()
  expect(fresh).not.toContain(old)
  // the old one may have had room before its successor came
  const hadRoom = logLines(project, /has file descriptors again/).length > 0
  expect(hadRoom ? [old, ...fresh] : fresh).toContain((JSON.parse((await waiting).body) as { pid: number }).pid)
  expect((await project.status()).master.warnings).toEqual([])
  for (const client of flood) client.close()
})

it('E9 a master that has hardly a descriptor left says so once; its reserve is enough for commands, a crash and a reload', async () => {
  const project = Project.create({ 'start.js': hungryStart(75), 'app.js': app('1') })
  const { pid } = await startStarved(project, 96)
  const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [0, 10] })
  process.kill(pid, 'SIGWINCH')
  const warnings = async () => (await project.status()).master.warnings
  await until('it says so', async () => (await warnings()).length > 0)
  expect(await warnings()).toEqual([
    expect.stringMatching(`^${WARNING} \\([78]\\d of 96\\): it may fail to start a worker, or to hear a command$`),
  ])
  expect((await project.reload()).code).toBe(0)
  await load.more(50)
  expect((await load.stop()).errors).toEqual([])
  const [victim = 0] = await project.pids()
  await kill(project, victim)
  await until('it is back', async () => {
    const pids = await project.pids()
    return pids.length === 2 && !pids.includes(victim)
  })
  expect(await warnings()).toHaveLength(1)
  process.kill(pid, 'SIGWINCH')
  await until('it has some again', async () => (await warnings()).length === 0)
  expect(logLines(project, /the master .*file descriptors/)).toHaveLength(2)
})

it('E9 a master without a single descriptor: its workers serve on, commands say why it does not hear, what it could not start it starts then', async () => {
  const project = Project.create({ 'start.js': hungryStart(1_000), 'app.js': app('1') })
  const { pid } = await startStarved(project, 96)
  const port = await project.port()
  const [victim = 0, other = 0] = await project.pids()
  const before = await descriptorsOf(pid, project)
  process.kill(pid, 'SIGWINCH')
  await until('it says so', () => project.log.includes(`${WARNING} (96 of 96)`))
  // a busy one does not even hang up within the second that a look waits
  const deaf = await inTime(
    () => project.shiftwork('status'),
    ({ stderr }) => !stderr.includes('hung up'),
  )
  expect(deaf.code).toBe(4)
  expect(deaf.stderr).toContain('hung up before it heard the request')
  expect(deaf.stderr).toContain('out of file descriptors: its log says so')

  await kill(project, victim)
  const failures = /web\/0 .* the process could not be started: .*EMFILE/
  await until('it was tried three times', () => logLines(project, failures).length >= 3)
  const load = new Load({ target: { port }, clients: 10, pauseMs: [0, 10], isShort: true })
  await load.more(50)
  expect([...load.result.byPid.keys()]).toEqual([other])
  process.kill(pid, 'SIGWINCH')
  await until('both serve', async () => (await project.pids()).length === 2)
  await load.more(50)
  expect((await load.stop()).errors).toEqual([])
  expect((await project.status()).groups[0]?.state).toBe('ok')
  expect(await project.pids()).toContain(other)
  await until('it says so, too', () => project.log.includes('the master has file descriptors again'))
  expect(logLines(project, /the master .*file descriptors/)).toHaveLength(2)
  // what could not be started has left nothing open
  expect(await descriptorsOf(pid, project)).toBe(before)
})
