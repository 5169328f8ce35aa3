/** What a start file changes about the fleet takes effect in a reload, or is named. H3, H4, C10. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { app, fleetStart, type GroupOf, webStart } from '../helpers/apps.ts'
import { quietPorts } from '../helpers/cli.ts'
import { Client, get } from '../helpers/client.ts'
import { expectAgreement, serving } from '../helpers/fleets.ts'
import { isListening, Lookout } from '../helpers/listening.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const PAUSE: [number, number] = [0, 20]

function at(port: number | undefined): string {
  return `http://127.0.0.1:${port ?? 0}`
}

async function started(groups: Record<string, GroupOf>): Promise<Project> {
  const project = Project.create({ 'start.js': fleetStart(groups), 'app.js': app('1') })
  await project.start()
  return project
}

function loadOn(port: number, clients = 6): Load {
  return new Load({ target: { port }, clients, pauseMs: PAUSE, maxMs: 170_000 })
}

async function version(port: number): Promise<string> {
  return (JSON.parse((await get({ port })).body) as { version: string }).version
}

/** A listener of this process, for the running test. */
async function hold(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  onTestFinished(() => void server.close())
  return server
}

/** Says at once that it has begun; ends its answer when the file `go` is there. */
const PATIENT = `
import { existsSync } from 'node:fs'
export function createApp() {
  return (_request, response) => {
    response.write('begun,')
    const timer = setInterval(() => {
      if (!existsSync('go')) return
      clearInterval(timer)
      response.end('x'.repeat(100_000) + ',whole')
    }, 10)
  }
}
`

it('H3 a group comes, one goes, one grows, one moves, one gets another name: the others lose nothing, kept ones stay', async () => {
  const [web = 0, api = 0, moved = 0, old = 0, shop = 0, kept = 0, fresh = 0] = await quietPorts(7)
  const gateway = { listen: at(kept), reloadable: false }
  const project = Project.create({
    'start.js': fleetStart({
      web: { listen: at(web), count: 2 },
      // its clients are answered when all groups have rolled
      api: { listen: at(api), count: 2, code: 'patient.js', stopTimeoutMs: 120_000 },
      old: { listen: at(old) },
      site: { listen: at(shop) },
      gateway,
      jobs: {},
    }),
    'app.js': app('1'),
    'patient.js': PATIENT,
  })
  await project.start()
  const before = await serving(project)
  const loads = [web, shop, kept].map((port) => loadOn(port))
  for (const load of loads) await load.more(50)
  const lookouts = [web, shop, kept].map((port) => new Lookout(port))
  const inFlight = await Promise.all(Array.from({ length: 5 }, () => Client.open({ port: api })))
  const begun = inFlight.map((client) => new Promise((resolve) => client.socket.once('data', resolve)))
  for (const client of inFlight) client.send()
  await Promise.all(begun)

  project.write('app.js', app('2'))
  project.write(
    'start.js',
    fleetStart({
      web: { listen: at(web), count: 3 },
      api: { listen: at(moved), count: 2, code: 'patient.js', stopTimeoutMs: 120_000 },
      shop: { listen: at(shop) },
      gateway,
      jobs: {},
      fresh: { listen: at(fresh) },
    }),
  )
  const reload = project.reload()
  await until('it has moved', () => isListening(moved) && !isListening(api) && !isListening(old), 30_000)
  // what was asked on the old address is still being answered
  project.write('go', '')
  for (const client of inFlight) {
    const answer = await client.answer()
    expect(answer.status).toBe(200)
    expect(answer.body).toBe(`begun,${'x'.repeat(100_000)},whole`)
    client.close()
  }
  const { code, summary } = await reload
  expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
  expect([...summary.applied].sort()).toEqual([
    `api: address ${at(api)} → ${at(moved)}`,
    'fresh: new in the start file',
    'old: removed from the start file',
    'shop: new in the start file',
    'site: removed from the start file',
    'web: count 2 → 3',
  ])
  expect(summary.needsRestart).toEqual([])
  expect(summary.kept).toEqual(['gateway'])

  for (const load of loads) await load.more(50)
  for (const lookout of lookouts) await lookout.end()
  expect(lookouts.map((lookout) => lookout.missed.length)).toEqual([0, 0, 0])
  for (const [index, load] of loads.entries()) {
    const result = await load.stop()
    expect(result.errors).toEqual([])
    expect(result.failed).toBe(0)
    if (index < 2) expect(await version(index === 0 ? web : shop)).toBe('2')
  }
  const status = await expectAgreement(project)
  expect(status.groups.map((group) => [group.name, group.count, ...group.listen]).sort()).toEqual([
    ['api', 2, at(moved)],
    ['fresh', 1, at(fresh)],
    ['gateway', 1, at(kept)],
    ['jobs', 1],
    ['shop', 1, at(shop)],
    ['web', 3, at(web)],
  ])
  const after = await serving(project)
  expect(after['gateway']).toEqual(before['gateway'])
  expect(after['jobs']).not.toEqual(before['jobs'])
  expect(await version(fresh)).toBe('2')
  expect([api, old].map(isListening)).toEqual([false, false])
})

it('H3 on port 0 a group that gets another name keeps its port, and a new one of the old name gets its own', async () => {
  const project = await started({ web: { listen: at(0), count: 2 } })
  const port = await project.port()
  const load = loadOn(port)
  const lookout = new Lookout(port)
  await load.more(50)
  project.write('start.js', fleetStart({ site: { listen: at(0), count: 2 } }))
  expect((await project.reload()).code).toBe(0)
  expect(await project.port('site')).toBe(port)
  project.write('app.js', app('2'))
  project.write('start.js', fleetStart({ site: { listen: at(0), count: 2 }, web: { listen: at(0) } }))
  expect((await project.reload()).code).toBe(0)
  await load.more(50)
  await lookout.end()
  const { failed, errors, byPid } = await load.stop()
  expect({ failed, errors, missed: lookout.missed }).toEqual({ failed: 0, errors: [], missed: [] })
  const own = await project.port('web')
  expect(own).not.toBe(port)
  expect(await version(own)).toBe('2')
  // nobody of the new group ever answered for the other one
  expect((await project.pids('web')).filter((pid) => byPid.has(pid))).toEqual([])
})

it('H3 http becomes https on the same port, and status says so', async () => {
  const project = Project.create({ 'start.js': webStart(), 'app.js': app('1') })
  const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['-keyout', join(project.dir, 'key.pem'), '-out', join(project.dir, 'cert.pem')]
  execFileSync('openssl', [...args.split(' '), ...files], { stdio: 'pipe' })
  await project.start()
  const port = await project.port()
  project.write(
    'start.js',
    webStart({}, 'https://127.0.0.1:0')
      .replace('import { Worker }', "import { readFileSync } from 'node:fs'\nimport { Worker }")
      .replace(
        '{"name":"web"',
        '{ tls: { key: readFileSync(\'key.pem\'), cert: readFileSync(\'cert.pem\') },"name":"web"',
      ),
  )
  const { code, summary } = await project.reload()
  expect({ code, applied: summary.applied, needsRestart: summary.needsRestart }).toEqual({
    code: 0,
    applied: ['web: address http://127.0.0.1:0 → https://127.0.0.1:0'],
    needsRestart: [],
  })
  expect((await get({ port, tls: true })).status).toBe(200)
  expect((await project.status()).groups[0]?.listen).toEqual([`https://127.0.0.1:${port}`])
})

it('H4 what is kept is named on the screen, in the summary and in status, until reload --force applies it', async () => {
  const [first = 0, second = 0] = await quietPorts(2)
  const web = { listen: at(0), count: 1 }
  const project = await started({ web, gateway: { listen: at(first), reloadable: false, count: 1 } })
  const before = await serving(project)
  const kept = [
    `gateway: address ${at(first)} → ${at(second)} (it is kept in reloads: reload --force gateway applies it)`,
    'gateway: count 1 → 2 (it is kept in reloads: reload --force gateway applies it)',
  ]
  project.write('start.js', fleetStart({ web, gateway: { listen: at(second), reloadable: false, count: 2 } }))
  const screen = await project.shiftwork('reload')
  expect(screen.code).toBe(0)
  for (const sentence of kept) expect(screen.stdout).toContain(`needs a restart ${sentence}\n`)
  const warnings = async (): Promise<string[]> => (await project.status()).master.warnings
  expect(await warnings()).toEqual(kept.map((sentence) => `needs a restart: ${sentence}`))

  // code that cannot be read tells nothing new about them: they stay named
  project.write('app.js', 'export const nothing = )')
  expect((await project.reload('web')).code).toBe(5)
  expect((await warnings()).slice(0, 2)).toEqual(kept.map((sentence) => `needs a restart: ${sentence}`))
  project.write('app.js', app('2'))
  const named = await project.reload('web')
  expect({ code: named.code, needsRestart: named.summary.needsRestart }).toEqual({ code: 0, needsRestart: kept })
  expect((await serving(project))['gateway']).toEqual(before['gateway'])
  expect([first, second].map(isListening)).toEqual([true, false])

  const forced = await project.reload('--force', 'gateway')
  expect({ code: forced.code, needsRestart: forced.summary.needsRestart }).toEqual({ code: 0, needsRestart: [] })
  expect(await warnings()).toEqual([])
  expect([first, second].map(isListening)).toEqual([false, true])
  expect(await project.pids('gateway')).toHaveLength(2)

  project.write('start.js', fleetStart({ web }))
  expect((await project.reload()).summary.needsRestart).toEqual([
    'gateway: removed from the start file (it is kept in reloads: reload --force gateway ends it)',
  ])
  expect((await project.reload('--force', 'gateway')).code).toBe(0)
  expect(isListening(second)).toBe(false)
  expect((await expectAgreement(project)).groups.map((group) => group.name)).toEqual(['web'])
})

it('H4 an address that this master itself is in the way of is named each time, and the rest is done', async () => {
  const [port = 0, other = 0] = await quietPorts(2)
  const project = await started({ web: { listen: at(port), count: 1 } })
  const load = loadOn(port)
  await load.more(50)
  project.write('app.js', app('2'))
  project.write(
    'start.js',
    fleetStart({ web: { listen: `http://0.0.0.0:${port}`, count: 2 }, api: { listen: at(other), count: 1 } }),
  )
  const sentence = `web: address ${at(port)} → http://0.0.0.0:${port} (this master holds ${at(port)})`
  const screen = await project.shiftwork('reload')
  expect(screen.code).toBe(0)
  expect(screen.stdout).toContain(`needs a restart ${sentence}\n`)
  expect((await project.status()).master.warnings).toEqual([`needs a restart: ${sentence}`])
  const again = await project.reload()
  expect({ code: again.code, applied: again.summary.applied, needsRestart: again.summary.needsRestart }).toEqual({
    code: 0,
    applied: [],
    needsRestart: [sentence],
  })
  await load.more(50)
  const { failed, errors } = await load.stop()
  expect({ failed, errors }).toEqual({ failed: 0, errors: [] })
  const status = await expectAgreement(project)
  expect(status.groups.map((group) => [group.name, group.count, ...group.listen])).toEqual([
    ['web', 2, at(port)],
    ['api', 1, at(other)],
  ])
  expect([await version(port), await version(other)]).toEqual(['2', '2'])
})

it('C10 a start file that cannot be accepted, and an address that another program has: nothing is touched', async () => {
  const [port = 0, taken = 0, fresh = 0] = await quietPorts(3)
  const web = { listen: at(port), count: 2 }
  const project = await started({ web })
  const before = await project.pids()
  const load = loadOn(port, 8)
  await load.more(50)
  const holder = await hold(taken)
  const rejected = async (start: string, reason: RegExp): Promise<void> => {
    project.write('start.js', start)
    const screen = await project.shiftwork('reload')
    expect(screen.stdout).toMatch(reason)
    expect(screen.stdout).toMatch(/reload rejected in .*: nothing was touched, the old code serves\n$/)
    expect({ code: screen.code, stderr: screen.stderr }).toEqual({ code: 5, stderr: '' })
    expect(await serving(project)).toEqual({ web: before })
    expect([port, fresh].map(isListening)).toEqual([true, false])
  }
  project.write('app.js', app('2'))
  await rejected(fleetStart({ web: { ...web, count: -1 }, api: { listen: at(fresh) } }), /Worker "web".*count/)
  await rejected(fleetStart({ web, api: { listen: at(port) } }), /Workers "web" and "api" both listen on/)
  await rejected(fleetStart({ web, api: { after: ['nobody'] } }), /"nobody", which does not exist/)
  const inUse = new RegExp(`Cannot listen on ${at(taken)}: address already in use by .* \\(pid ${process.pid}\\)`)
  await rejected(fleetStart({ web: { ...web, listen: at(taken) }, api: { listen: at(fresh) } }), inUse)
  await rejected(fleetStart({ web, api: { listen: at(taken) }, mail: { listen: at(fresh) } }), inUse)

  holder.close()
  expect((await project.reload()).code).toBe(0)
  await load.more(50)
  const { failed, errors, byPid } = await load.stop()
  expect({ failed, errors }).toEqual({ failed: 0, errors: [] })
  const after = await project.pids()
  expect([...byPid.keys()].filter((pid) => ![...before, ...after].includes(pid))).toEqual([])
  expect([await version(taken), await version(fresh)]).toEqual(['2', '2'])
  await expectAgreement(project)
})

it('C10 a unix socket moves to another path and its old file goes; a path with a file on it is refused', async () => {
  const project = Project.create({ 'start.js': '', 'app.js': app('1'), 'file.sock': 'no socket' })
  const path = (name: string): string => join(project.dir, name)
  const on = (name: string): string => webStart({}, `http+unix://${path(name)}`)
  project.write('start.js', on('old.sock'))
  await project.start()
  const before = await project.pids()
  project.write('app.js', app('2'))
  project.write('start.js', on('file.sock'))
  const refused = await project.reload()
  expect(refused.code).toBe(5)
  expect(refused.summary.error?.message).toContain('a file that is no socket is there')
  expect(await project.pids()).toEqual(before)
  expect(project.read('file.sock')).toBe('no socket')

  const load = new Load({ target: { path: path('old.sock') }, clients: 4, pauseMs: PAUSE })
  await load.more(20)
  const { failed } = await load.stop()
  project.write('start.js', on('new.sock'))
  expect((await project.reload()).code).toBe(0)
  expect(failed).toBe(0)
  expect(existsSync(path('old.sock'))).toBe(false)
  expect((await get({ path: path('new.sock') })).body).toContain('"version":"2"')
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(existsSync(path('new.sock'))).toBe(false)
})

it('H3 a reload of named groups applies what is theirs and names the rest; a group that is gone is refused', async () => {
  const [port = 0] = await quietPorts(1)
  const project = await started({ web: { listen: at(0), count: 1 }, api: { count: 1 }, old: {} })
  const before = await serving(project)
  project.write('app.js', app('2'))
  project.write('start.js', fleetStart({ web: { listen: at(port), count: 2 }, api: { count: 2 }, fresh: {} }))
  const { code, summary } = await project.reload('web')
  expect({ code, applied: summary.applied }).toEqual({
    code: 0,
    applied: [`web: address http://127.0.0.1:0 → ${at(port)}`, 'web: count 1 → 2'],
  })
  expect(summary.needsRestart).toEqual([
    'api: count 1 → 2 (reload api applies it)',
    'old: removed from the start file (a reload of everything ends it)',
    'fresh: new in the start file (a reload of everything starts it)',
  ])
  const after = await serving(project)
  expect([after['api'], after['old'], after['fresh']]).toEqual([before['api'], before['old'], undefined])
  expect(after['web']).toHaveLength(2)

  const gone = await project.shiftwork('reload', 'old')
  expect(gone.code).toBe(5)
  expect(gone.stdout).toContain('the start file describes no worker "old" any more')
  expect(await serving(project)).toEqual(after)
  expect((await project.reload()).code).toBe(0)
  const status = await expectAgreement(project)
  expect(status.groups.map((group) => [group.name, group.count]).sort()).toEqual([
    ['api', 2],
    ['fresh', 1],
    ['web', 2],
  ])
  expect(status.master.warnings).toEqual([])
})
