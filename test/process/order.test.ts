/** Groups in the order of `after`: at start, in a reload, at a stop, and when the one that others need crashes. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { quietPorts } from '../helpers/cli.ts'
import { get } from '../helpers/client.ts'
import { kill } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

/** `db` answers with its version; `web` asks it for each of its own answers, `/late` only when `ask-now` is there. */
function start(port: number, more = ''): string {
  return `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50, after: ['db'] })
web.onWorkerStart = async (worker) => { worker.onRequest = (await import('./web.js')).handler(worker, ${port}) }
const db = new Worker('http://127.0.0.1:${port}', { name: 'db', count: 2, bakeMs: 50 })
db.onWorkerStart = async (worker) => { worker.onRequest = (await import('./db.js')).handler(worker) }
${more}
Worker.runAll()
`
}

const GATED = `
import { existsSync } from 'node:fs'
while (existsSync('closed.gate')) await new Promise((wait) => setTimeout(wait, 10))
`

function db(version: string): string {
  return `
export function handler(worker) {
  return (_request, response) => response.end(JSON.stringify({ version: '${version}', pid: process.pid }))
}
`
}

function web(version: string): string {
  return `
import { existsSync, writeFileSync } from 'node:fs'
export function handler(worker, port) {
  const answer = async (response) => {
    try {
      const db = await (await fetch('http://127.0.0.1:' + port, { headers: { connection: 'close' } })).json()
      response.end(JSON.stringify({ pid: process.pid, version: '${version}', db: db.version }))
    } catch (error) {
      response.statusCode = 502
      response.end(String(error.cause ?? error))
    }
  }
  const later = (response) => (existsSync('ask-now') ? answer(response) : setTimeout(later, 10, response))
  return (request, response) => {
    if (request.url !== '/late') return answer(response)
    writeFileSync('late-began', '')
    later(response)
  }
}
`
}

async function create(files: Record<string, string> = {}): Promise<Project> {
  const [port = 0] = await quietPorts(1)
  return Project.create({ 'start.js': start(port), 'web.js': web('1'), 'db.js': db('1'), ...files })
}

/** The groups of these lines of the log, in their order. */
function groupsOf(log: string, pattern: RegExp): string[] {
  return log
    .split('\n')
    .filter((line) => pattern.test(line))
    .map((line) => / (\w+)\/\d/.exec(line)?.[1] ?? '')
}

it('at start no worker of a group is started before those that it comes after serve', async () => {
  const project = await create({ 'db.js': GATED + db('1'), 'closed.gate': '' })
  const { command, args } = project.commandFor('js')
  const running = project.launch(command, [...args, 'start'])
  await running.line(/WORKER/)
  await until('db starts', async () => {
    const { code, stdout } = await project.shiftwork('status', '--json')
    return code === 0 && stdout.includes('"starting"')
  })
  const status = await project.status()
  expect(status.master.state).toBe('starting')
  const rows = Object.fromEntries(
    status.groups.map((group) => [group.name, group.processes.filter((row) => row.pid !== null)]),
  )
  expect(rows['db']).toHaveLength(2)
  expect(rows['web']).toEqual([])
  rmSync(join(project.dir, 'closed.gate'))
  await running.line(/^ready in /m)
  expect(groupsOf(project.log, /serves generation 1/)).toEqual(['db', 'db', 'web', 'web'])
  expect(JSON.parse((await get({ port: await project.port() })).body)).toMatchObject({ version: '1', db: '1' })
})

for (const strategy of ['rolling', 'atomic'])
  it(`${strategy}: in a reload all of db serves anew before the first of web does, and no request is lost`, async () => {
    const project = await create()
    await project.start()
    const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [5, 30] })
    await load.more(50)
    for (const version of ['2', '3']) {
      project.write('db.js', db(version))
      project.write('web.js', web(version))
      const { code, summary } = await project.reload('--strategy', strategy)
      expect([code, summary.result, summary.replaced.length]).toEqual([0, 'done', 4])
      expect(groupsOf(project.log, new RegExp(`serves generation ${version}`))).toEqual(['db', 'db', 'web', 'web'])
    }
    // more than the load remembers versions of
    await load.more(250)
    const result = await load.stop()
    expect(result.errors).toEqual([])
    expect(result.failed).toBe(0)
    expect(new Set(result.lastVersions)).toEqual(new Set(['3']))
  })

it('a reload whose web fails after db was tried leaves both as they are', async () => {
  const project = await create()
  await project.start()
  const before = [await project.pids('db'), await project.pids('web')]
  project.write('db.js', db('2'))
  project.write('web.js', `throw new Error('web is broken')`)
  const { code, summary } = await project.reload()
  expect([code, summary.error?.worker]).toEqual([5, 'web/0'])
  expect([await project.pids('db'), await project.pids('web')]).toEqual(before)
})

it('at a stop web leaves before db: what web has begun is still answered with the help of db', async () => {
  const project = await create()
  const running = await project.start()
  const pids = await project.pids('db')
  const late = get({ port: await project.port() }, '/late', { timeoutMs: 60_000 })
  await until('it has begun', () => existsSync(join(project.dir, 'late-began')))
  const stop = project.shiftwork('stop')
  await until('web drains', () => /web\/\d .* drains \(stop\)/.test(project.log))
  await until('the web that has nothing to do has left', () => /web\/\d .* left/.test(project.log))
  expect(pids.filter(isAlive)).toEqual(pids)
  expect(project.log).not.toMatch(/db\/\d .* drains/)
  project.write('ask-now', '')
  const answer = await late
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([200, { version: '1', db: '1' }])
  expect((await stop).code).toBe(0)
  expect((await running.ended).code).toBe(0)
  expect(groupsOf(project.log, / left with code/)).toEqual(['web', 'web', 'db', 'db'])
})

it('a second stop ends all of them at once, whatever they wait for', async () => {
  const project = await create()
  const running = await project.start()
  const late = get({ port: await project.port() }, '/late', { timeoutMs: 60_000 }).catch(String)
  await until('it has begun', () => existsSync(join(project.dir, 'late-began')))
  const stop = project.shiftwork('stop')
  await until('web drains', () => /web\/\d .* drains \(stop\)/.test(project.log))
  expect((await project.shiftwork('stop', '--timeout', '0')).code).toBe(0)
  expect((await stop).code).toBe(0)
  expect((await running.ended).code).toBe(0)
  expect(await late).toMatch(/^Error: (closed|reset)/)
})

it('a crash of db restarts db alone', async () => {
  const project = await create()
  await project.start()
  const webPids = await project.pids('web')
  const [first = 0, second = 0] = await project.pids('db')
  await kill(project, first)
  await until('db is whole again', async () => {
    const pids = await project.pids('db')
    return pids.length === 2 && !pids.includes(first)
  })
  expect(await project.pids('db')).toContain(second)
  expect(await project.pids('web')).toEqual(webPids)
  expect((await get({ port: await project.port() })).status).toBe(200)
  const web = (await project.status()).groups.find(({ name }) => name === 'web')
  expect(web?.processes.map((row) => row.restarts)).toEqual([0, 0])
})

it('an order that cannot be kept is one clear sentence and exit 1, at start; in a reload it is exit 5', async () => {
  const [port = 0] = await quietPorts(1)
  const circle = start(port).replace(`name: 'db',`, `name: 'db', after: ['web'],`)
  const unknown = start(port).replace(`after: ['db']`, `after: ['bd']`)
  const project = Project.create({ 'start.js': circle, 'web.js': web('1'), 'db.js': db('1') })
  const wrong = await project.through('js', 'start')
  expect(wrong).toMatchObject({ code: 1, stdout: '' })
  expect(wrong.stderr).toMatch(/^error Workers wait for each other: web after db after web\n +.*"after"\.\n$/)
  project.write('start.js', unknown)
  const missing = await project.through('js', 'start')
  expect(missing).toMatchObject({ code: 1, stdout: '' })
  expect(missing.stderr).toMatch(
    /^error Worker "web" starts after "bd", which does not exist\n +Did you mean "db"\?\n$/,
  )
  project.write('start.js', start(port))
  await project.start()
  const before = await project.pids()
  project.write('start.js', circle)
  const rejected = await project.reload()
  expect([rejected.code, rejected.summary.error?.message]).toEqual([
    5,
    'Workers wait for each other: web after db after web',
  ])
  expect(await project.pids()).toEqual(before)
})
