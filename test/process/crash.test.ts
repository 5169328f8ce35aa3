/** Workers that die: same place, same generation, counted, with backoff; others' requests. Group E, and a lost master. */
import { copyFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { app, webStart } from '../helpers/apps.ts'
import { Client, get } from '../helpers/client.ts'
import { gone, kill } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

it('E1 each worker that is killed is back in the same slot and generation, and counted', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 3 }), 'app.js': app('1') })
  await project.start()
  expect((await project.reload()).code).toBe(0)
  for (const id of [0, 1, 2]) {
    const before = await project.pids()
    await kill(project, before[id] ?? 0)
    await until('it is back', async () => {
      const now = await project.pids()
      return now.length === 3 && now[id] !== before[id]
    })
    const status = await project.status()
    expect(status.groups[0]?.processes[id]).toMatchObject({
      id,
      generation: 2,
      state: 'serving',
      restarts: 1,
      lastExit: { code: null, signal: 'SIGKILL' },
    })
    const now = await project.pids()
    expect(now.filter((pid) => before.includes(pid))).toHaveLength(2)
  }
})

it('E1 all workers killed at once: clients wait and are answered by the next ones, none is refused', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': app('1') })
  await project.start()
  const port = await project.port()
  const before = await project.pids()
  await kill(project, ...before)
  const answers = await Promise.all(Array.from({ length: 60 }, () => get({ port })))
  const answered = new Set(answers.map((answer) => (JSON.parse(answer.body) as { pid: number }).pid))
  expect([...answered].filter((pid) => before.includes(pid))).toEqual([])
})

const TWO = `
import { existsSync } from 'node:fs'
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2 })
web.onWorkerStart = async (worker) => {
  const { createApp } = await import('./app.js')
  worker.onRequest = createApp(worker)
}
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerServing = () => {
  if (existsSync('crash')) setTimeout(() => process.exit(7), 20)
}
Worker.runAll()
`

it('E2 a crash loop shows backoff, leaves other groups alone, and ends by itself when the cause is gone', async () => {
  const project = Project.create({ 'start.js': TWO, 'app.js': app('1') })
  await project.start()
  const web = await project.pids()
  const [job = 0] = await project.pids('jobs')
  const load = new Load({ target: { port: await project.port() }, clients: 5, pauseMs: [1, 5] })
  project.write('crash', '')
  await kill(project, job)
  await until('backoff after several crashes', async () => {
    const group = (await project.status()).groups[1]
    return group?.state === 'backoff' && (group.processes[0]?.restarts ?? 0) >= 4
  })
  const row = (await project.status()).groups[1]?.processes[0]
  expect(row?.lastExit).toMatchObject({ code: 7, signal: null })
  // the pauses grow, crash by crash, as the log tells
  const times = [...project.log.matchAll(/^(\S+) error jobs\/0 /gm)].map((match) => Date.parse(match[1] ?? ''))
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  // a pause doubles, with a fifth of jitter; what a start takes comes on top of it
  for (const [index, gap] of gaps.entries()) expect(gap, `after crash ${index + 1}`).toBeGreaterThan(75 * 2 ** index)
  expect(gaps.length).toBeGreaterThanOrEqual(3)
  project.exec('rm', ['crash'])
  await until('it serves again', async () => (await project.status()).groups[1]?.state === 'ok', 20_000)
  expect(await project.pids()).toEqual(web)
  expect((await load.stop()).errors).toEqual([])
})

const FALLING = `
export function createApp() {
  return (request, response) => {
    if (request.url === '/throw') { setTimeout(() => { throw new Error('dropped the ball') }, 0); return }
    if (request.url === '/reject') { Promise.reject(new Error('broke a promise')); return }
    setTimeout(() => response.end(JSON.stringify({ pid: process.pid, version: '1' })), request.url === '/slow' ? 700 : 0)
  }
}`

for (const [path, words] of [
  ['/throw', 'dropped the ball'],
  ['/reject', 'broke a promise'],
] as const)
  it(`an uncaught exception (${path}): logged with its stack, what others began is answered, the worker is replaced`, async () => {
    const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': FALLING })
    const running = await project.start()
    const port = await project.port()
    const [pid = 0] = await project.pids()
    const others = await Promise.all(Array.from({ length: 10 }, () => Client.open({ port })))
    for (const other of others) other.send({ path: '/slow' })
    await until('they are begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 10)
    const bad = await Client.open({ port })
    bad.send({ path })
    const answers = await Promise.all(others.map((other) => other.answer()))
    expect(answers.map((answer) => (JSON.parse(answer.body) as { pid: number }).pid)).toEqual(answers.map(() => pid))
    for (const other of others) other.close()
    bad.close()
    await gone(pid)
    expect(JSON.parse((await get({ port })).body)).not.toMatchObject({ pid })
    await running.line(new RegExp(`${words}[\\s\\S]*app\\.js:`))
    expect(project.log).toContain(words)
    expect((await project.status()).groups[0]?.processes[0]).toMatchObject({ restarts: 1, generation: 1 })
  })

it('SIGTERM to a worker replaces it gracefully; other signals do nothing', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': app('1') })
  await project.start()
  const before = await project.pids()
  const load = new Load({ target: { port: await project.port() }, clients: 20, pauseMs: [0, 5], slowShare: 0.02 })
  await load.more(100)
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)
    for (const pid of before) process.kill(pid, signal)
  await load.more(100)
  expect(await project.pids()).toEqual(before)
  process.kill(before[0] ?? 0, 'SIGTERM')
  await until('it is replaced', async () => !(await project.pids()).includes(before[0] ?? 0))
  await gone(before[0] ?? 0)
  expect((await project.pids())[1]).toBe(before[1])
  const result = await load.stop()
  expect(result.errors).toEqual([])
  expect((await project.status()).groups[0]?.processes[0]).toMatchObject({ generation: 1, restarts: 0 })
})

/** Says that it is there, and then waits for ever. */
const WAITING = `
import { writeFileSync } from 'node:fs'
if (process.argv.length === 2) {
  writeFileSync('waits-' + process.pid, '')
  await new Promise(() => setInterval(() => {}, 1000))
}
`

for (const [where, files] of [
  ['in onWorkerStart', { 'start.js': webStart({ count: 2 }), 'app.js': WAITING }],
  ['in the start file', { 'start.js': WAITING + webStart({ count: 2 }), 'app.js': app('1') }],
] as const)
  it(`a master that is killed while its workers wait ${where} leaves none of them behind`, async () => {
    const project = Project.create(files)
    const { command, args } = project.commandFor('js')
    const running = project.launch(command, [...args, 'start'])
    await until('both wait', () => readdirSync(project.dir).filter((name) => name.startsWith('waits-')).length === 2)
    await kill(project, running.pid)
    await until('nothing is left', () => project.processes.length === 0)
  })

it('a worker that cannot be forked is tried again, and a stop ends it all', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': app('1') })
  // Node.js itself, which an upgrade may take away for a while
  const node = join(project.dir, 'node')
  copyFileSync(process.execPath, node)
  const running = project.launch(node, [project.startFile, 'start'])
  await running.line(/^ready in /m)
  const [first = 0, second = 0] = await project.pids()
  rmSync(node)
  await kill(project, first)
  await until('it was tried twice', () => project.log.split('the process could not be started').length > 2)
  expect(await project.pids()).toEqual([second])
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect((await running.ended).code).toBe(0)
})

it('E5 under load an uncaught exception and an unhandled rejection cost the client that brought them its answer, and nobody else one', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': FALLING })
  const running = await project.start()
  const port = await project.port()
  const load = new Load({ target: { port }, clients: 30, pauseMs: [0, 20], slowShare: 0.02 })
  await load.more(200)
  const before = await project.pids()
  for (const path of ['/throw', '/reject']) {
    const bad = await Client.open({ port })
    await expect(bad.request({ path })).rejects.toMatchObject({
      outcome: expect.stringMatching(/reset|closed/) as string,
    })
    await load.more(100)
    await until('two serve', async () => (await project.pids()).length === 2)
  }
  await load.more(200)
  expect((await load.stop()).errors).toEqual([])
  expect(await project.pids()).not.toEqual(before)
  for (const words of ['dropped the ball', 'broke a promise'])
    await running.line(new RegExp(`${words}[\\s\\S]*app\\.js:`))
})

/** As Sentry listens: it ends the process only where nobody else does, and knows its own by this mark. */
const REPORTED = `
process.on('uncaughtException', Object.assign((error) => console.log('reported: ' + error.message), { _errorHandler: true }))
${FALLING}`

it('E5 a reporter that listens for uncaught exceptions hears of them, and the worker is replaced all the same', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1 }), 'app.js': REPORTED })
  const running = await project.start()
  const port = await project.port()
  const [pid = 0] = await project.pids()
  const bad = await Client.open({ port })
  bad.send({ path: '/throw' })
  await running.line(/^reported: dropped the ball$/m)
  await gone(pid)
  bad.close()
  expect(JSON.parse((await get({ port })).body)).not.toMatchObject({ pid })
  await until('it is counted', async () => (await project.status()).groups[0]?.processes[0]?.restarts === 1)
})

it('a worker that closes its channel is replaced at once, finishes what it has, and is told of as it was', async () => {
  const code = `
export function createApp() {
  return (request, response) => {
    if (request.url === '/part') { process.disconnect(); setTimeout(() => response.end(String(process.pid)), 1_000); return }
    response.end(String(process.pid))
  }
}`
  const project = Project.create({ 'start.js': webStart({ count: 1, hangTimeoutMs: 0 }), 'app.js': code })
  await project.start()
  const port = await project.port()
  const [pid = 0] = await project.pids()
  const parting = await Client.open({ port })
  parting.send({ path: '/part' })
  await until('another serves', async () => {
    const [next = pid] = await project.pids()
    return next !== pid
  })
  expect((await parting.answer()).body).toBe(String(pid))
  parting.close()
  await gone(pid)
  expect((await get({ port })).body).not.toBe(String(pid))
  expect(project.log).toContain(`(pid ${pid}) failed: it has closed its channel to the master`)
  expect((await project.status()).groups[0]?.processes[0]?.lastExit?.reason).toContain('it has closed its channel')
})
