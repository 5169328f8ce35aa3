/** Kept groups, named groups, leaders, hooks. Group H. */
import { expect, it } from 'vitest'
import { app } from '../helpers/apps.ts'
import { Client } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { expectOneAtATime, LEADERS, leaderOf } from '../helpers/leaders.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const GATEWAY = `
import { Worker } from 'shiftwork'
const gateway = new Worker('http://127.0.0.1:0', { name: 'gateway', reloadable: false })
let reloads = 0
const streams = new Set()
gateway.onWorkerReload = () => {
  reloads++
  for (const stream of streams) stream.write('reload ' + reloads + ' seen by ' + process.pid + '\\n')
}
gateway.onRequest = (_request, response) => {
  streams.add(response)
  response.write('open ' + process.pid + '\\n')
}
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 0 })
web.onWorkerStart = async (worker) => {
  const { createApp } = await import('./app.js')
  worker.onRequest = createApp(worker)
}
const api = new Worker('http://127.0.0.1:0', { name: 'api', bakeMs: 0 })
api.onRequest = (_request, response) => response.end('ok')
Worker.runAll()
`

it('H1 a kept group holds its pid and every client connection through twenty reloads, and its hook runs', {
  timeout: 400_000,
}, async () => {
  const project = Project.create({ 'start.js': GATEWAY, 'app.js': app('1') })
  await project.start()
  const [pid = 0] = await project.pids('gateway')
  const port = await project.port('gateway')
  const streams = await Promise.all(Array.from({ length: 10 }, () => Client.open({ port })))
  const texts = streams.map((stream) => {
    const seen = { text: '' }
    stream.socket.on('data', (chunk) => {
      seen.text += String(chunk)
    })
    stream.send()
    return seen
  })
  await until('all are open', () => texts.every((seen) => seen.text.includes(`open ${pid}\n`)))
  for (let index = 1; index <= 20; index++) {
    const { code, summary } = await project.reload()
    expect({ code, kept: summary.kept, replaced: summary.replaced.length }).toEqual({
      code: 0,
      kept: ['gateway'],
      replaced: 3,
    })
    await until('the gateway was told', () =>
      texts.every((seen) => seen.text.includes(`reload ${index} seen by ${pid}\n`)),
    )
  }
  expect(streams.filter((stream) => stream.isClosed)).toEqual([])
  expect(await project.pids('gateway')).toEqual([pid])
  expect((await project.shiftwork('reload', 'gateway')).code).toBe(2)
  for (const stream of streams) stream.close()
})

it('H2 a reload of one named group leaves the others alone', async () => {
  const project = Project.create({ 'start.js': GATEWAY, 'app.js': app('1') })
  await project.start()
  const before = {
    web: await project.pids('web'),
    api: await project.pids('api'),
    gateway: await project.pids('gateway'),
  }
  const { code, summary } = await project.reload('api')
  expect(code).toBe(0)
  expect(summary.kept.sort()).toEqual(['gateway', 'web'])
  expect(summary.replaced.map((row) => [row.name, row.oldPid])).toEqual([['api', before.api[0]]])
  expect(await project.pids('web')).toEqual(before.web)
  expect(await project.pids('gateway')).toEqual(before.gateway)
  expect(await project.pids('api')).not.toEqual(before.api)
})

it('H5 never two leaders at once, and one again soon after each reload and crash', async () => {
  const project = Project.create({ 'start.js': LEADERS })
  await project.start()
  const leader = (): Promise<number | null> => leaderOf(project)
  for (let round = 0; round < 4; round++) {
    await until('there is one', async () => (await leader()) !== null)
    if (round % 2 === 0) expect((await project.reload()).code).toBe(0)
    else {
      const pid = await leader()
      await kill(project, pid ?? 0)
      await until('another one', async () => ![null, pid].includes(await leader()))
    }
  }
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(expectOneAtATime(project).length).toBeGreaterThanOrEqual(5)
})

const HOOKS = `
import { appendFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const note = (...words) => appendFileSync('hooks.txt', words.join(' ') + '\\n')
const web = new Worker('http://127.0.0.1:0', { name: 'web', bakeMs: 0 })
const kept = new Worker({ name: 'kept', reloadable: false })
for (const worker of [web, kept]) {
  worker.onWorkerStart = (self) => note(self.name, 'start', self.id, 'g' + self.generation, self.isLeader)
  worker.onLeader = (self) => note(self.name, 'leader', self.id, 'g' + self.generation, self.isLeader)
  worker.onWorkerStop = (self, reason) => note(self.name, 'stop', self.id, 'g' + self.generation, reason, self.isLeader)
  worker.onWorkerReload = (self) => note(self.name, 'reload', self.id, 'g' + self.generation)
}
web.onRequest = (_request, response) => response.end('ok')
Worker.onMasterReload = () => note('master reload')
Worker.onMasterStop = () => note('master stop')
Worker.onWorkerExit = (worker, code, signal, pid) => note(worker.name, 'exit', code, signal, typeof pid)
Worker.runAll()
`

it('H8 hooks run in the documented order with the documented arguments, for start, reload, crash and stop', async () => {
  const project = Project.create({ 'start.js': HOOKS })
  await project.start()
  const lines = (name: string): string[] =>
    project
      .read('hooks.txt')
      .trim()
      .split('\n')
      .filter((line) => line.startsWith(name))
  await until('both lead', () => lines('web').length === 2 && lines('kept').length === 2)
  expect(lines('web')).toEqual(['web start 0 g1 false', 'web leader 0 g1 true'])
  project.write('hooks.txt', '')

  expect((await project.reload()).code).toBe(0)
  await until('the kept one was told', () => lines('kept').length === 1)
  await until('the new one leads', () => lines('web leader').length === 1)
  expect(lines('master')).toEqual(['master reload'])
  expect(lines('kept')).toEqual(['kept reload 0 g1'])
  expect(lines('web').filter((line) => !line.includes('leader'))).toEqual([
    'web start 0 g2 false',
    'web stop 0 g1 reload false',
    'web exit 0  number',
  ])
  expect(lines('web leader')).toEqual(['web leader 0 g2 true'])
  project.write('hooks.txt', '')

  const [pid = 0] = await project.pids('web')
  await kill(project, pid)
  await until('its successor leads', () => lines('web leader').length === 1)
  expect(lines('web')).toEqual(['web exit  SIGKILL number', 'web start 0 g2 false', 'web leader 0 g2 true'])
  project.write('hooks.txt', '')

  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(lines('web')).toEqual(['web stop 0 g2 stop false', 'web exit 0  number'])
  expect(lines('kept')).toEqual(['kept stop 0 g1 stop false', 'kept exit 0  number'])
  expect(project.read('hooks.txt').trim().split('\n').at(-1)).toBe('master stop')
})

const SERVING = `
import { appendFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const note = (...words) => appendFileSync('hooks.txt', words.join(' ') + '\\n')
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 2_200 })
const jobs = new Worker({ name: 'jobs', bakeMs: 2_200 })
for (const worker of [web, jobs]) {
  const who = (self) => self.name + '/' + self.id + ' g' + self.generation
  worker.onWorkerStart = async (self) => {
    note(who(self), 'start')
    const { afterStart } = await import('./app.js')
    afterStart(self)
  }
  worker.onWorkerServing = async (self) => {
    note(who(self), 'serving', self.server === null || self.server.listening)
    await undefined
    throw new Error('the queue of ' + who(self) + ' is gone')
  }
  worker.onLeader = (self) => note(who(self), 'leader')
}
web.onRequest = (_request, response) => response.end('ok')
Worker.runAll()
`

it('H8 onWorkerServing: once in each process that serves, between start and leader, with or without a listener; what it throws costs nothing', async () => {
  const project = Project.create({ 'start.js': SERVING, 'app.js': 'export const afterStart = () => undefined' })
  const running = await project.start()
  const lines = (who: string): string[] =>
    project
      .written('hooks.txt')
      .split('\n')
      .filter((line) => line.startsWith(who))
      .map((line) => line.slice(who.length + 1))
  const times = (words: string): number => project.written('hooks.txt').split(words).length - 1
  const pids = [...(await project.pids('web')), ...(await project.pids('jobs'))]
  await until('all were told, and both lead', () => times('g1 serving true') === 3 && times('g1 leader') === 2)
  expect(lines('jobs/0 g1')).toEqual(['start', 'serving true', 'leader'])
  for (const id of [0, 1])
    expect(lines(`web/${id} g1`).filter((line) => line !== 'leader')).toEqual(['start', 'serving true'])
  const leader = /web\/(\d) g1 leader/.exec(project.read('hooks.txt'))?.[1]
  expect(lines(`web/${leader} g1`)).toEqual(['start', 'serving true', 'leader'])
  await running.line(/onWorkerServing threw: Error: the queue of jobs\/0 g1 is gone/)

  // a canary that only bakes
  project.write('app.js', 'export const afterStart = () => void setTimeout(() => process.exit(7), 20)')
  expect((await project.reload()).code).toBe(5)
  // whichever of the two canaries has failed twice first
  expect(new Set([...lines('web/0 g2'), ...lines('jobs/0 g2')])).toEqual(new Set(['start']))
  expect(project.read('hooks.txt')).not.toContain('g2 serving')
  expect([...(await project.pids('web')), ...(await project.pids('jobs'))]).toEqual(pids)

  project.write('app.js', 'export const afterStart = () => undefined')
  const { code, summary } = await project.reload()
  expect(code).toBe(0)
  await until('all were told', () => times(`g${summary.generation} serving true`) === 3)
  expect((await project.shiftwork('stop')).code).toBe(0)
})
