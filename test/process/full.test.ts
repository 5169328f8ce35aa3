/** While a worker is full, and so does not listen for want of descriptors, it is a worker like any other. Scenario E9. */
import { expect, it } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import { Client, get } from '../helpers/client.ts'
import { gone, kill } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { EATER, logLines, startStarved } from '../helpers/starved.ts'

async function fleet(options: Record<string, unknown> = {}, code = EATER): Promise<Project> {
  const project = Project.create({ 'start.js': webStart({ count: 2, ...options }), 'app.js': code })
  await startStarved(project, 256)
  return project
}

async function fill(project: Project, pid: number): Promise<void> {
  process.kill(pid, 'SIGWINCH')
  await until('it is full', async () =>
    (await project.status()).master.warnings.some((text) => text.includes('accepts')),
  )
}

/** Writes down when its health is asked for, and is ill while there is a file with its name. */
const CHECKED = EATER.replace(
  'const reply =',
  `if (request.url === '/health') {
      appendFileSync('asked.txt', process.pid + '\\n')
      response.statusCode = existsSync('ill-' + process.pid) ? 503 : 200
    }
    const reply =`,
).replace('import { closeSync', 'import { appendFileSync, existsSync, closeSync')

function checksOf(project: Project, pid: number): number {
  return project
    .read('asked.txt')
    .split('\n')
    .filter((line) => line === String(pid)).length
}

it('a full worker is asked for its health, and is not ill for being full; one that falls ill is replaced', async () => {
  const healthCheck = { check: '/health', everyMs: 50, retries: 1, retryDelayMs: 50 }
  const project = await fleet({ healthCheck, server: { keepAliveTimeout: 500 } }, CHECKED)
  const [full = 0, other = 0] = await project.pids()
  await fill(project, full)
  const before = checksOf(project, full)
  await until('it was asked twenty times', () => checksOf(project, full) >= before + 20)
  expect(await project.pids()).toEqual([full, other])
  expect(logLines(project, /\/health/)).toEqual([])

  project.write(`ill-${full}`, '')
  await until(
    'it is replaced',
    () => logLines(project, new RegExp(`pid ${full}\\).*GET /health answered 503`)).length > 0,
  )
  await until('two others serve', async () => {
    const pids = await project.pids()
    return pids.length === 2 && !pids.includes(full)
  })
  await gone(full)
  expect((await project.status()).master.warnings).toEqual([])
})

it('a full worker keeps the lead, and is given it when the leader dies', async () => {
  const leads = `import { appendFileSync } from 'node:fs'
web.onLeader = (worker) => appendFileSync('leaders.txt', process.pid + ' ' + worker.isLeader + '\\n')
Worker.runAll()`
  const project = await fleet()
  project.write('start.js', webStart({ count: 2 }).replace('Worker.runAll()', leads))
  expect((await project.reload()).code).toBe(0)
  const leaderOf = async () => (await project.status()).groups[0]?.processes.find((row) => row.leader)?.pid
  const [first = 0, second = 0] = await project.pids()
  expect(await leaderOf()).toBe(first)
  await fill(project, first)
  expect(await leaderOf()).toBe(first)
  process.kill(first, 'SIGWINCH')
  await until('it has room', async () => (await project.status()).master.warnings.length === 0)
  expect(await leaderOf()).toBe(first)

  await fill(project, second)
  await kill(project, first)
  await until('the full one leads', async () => (await leaderOf()) === second)
  await until('both serve', async () => (await project.pids()).length === 2)
  expect(await leaderOf()).toBe(second)
  expect((await project.status()).master.warnings).toHaveLength(1)
  // a status says whom the master has told, which is a moment earlier
  await until('the second one knows', () => project.written('leaders.txt').split('\n').length > 2)
  expect(project.read('leaders.txt')).toBe(`${first} true\n${second} true\n`)
})

it('a full worker under load is reloaded beside one that is not, and no request is lost', async () => {
  const project = await fleet()
  const before = await project.pids()
  const target = { port: await project.port() }
  const loads = [true, false].map(
    (isShort) => new Load({ target, clients: 15, pauseMs: [0, 10], isShort, slowShare: 0.01 }),
  )
  await Promise.all(loads.map((load) => load.more(100)))
  await fill(project, before[0] ?? 0)
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
  await Promise.all(loads.map((load) => load.more(100)))
  for (const { errors, failed } of await Promise.all(loads.map((load) => load.stop())))
    expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
  expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
  expect((await project.status()).master.warnings).toEqual([])
})

it('a stop while the only worker is full: what it has begun is answered, nothing is cut, nobody is waited for', async () => {
  const project = await fleet({ count: 1, server: { keepAliveTimeout: 20_000 } })
  const port = await project.port()
  const [full = 0] = await project.pids()
  const begun = await Client.open({ port })
  await begun.request()
  const silent = await Client.open({ port })
  await fill(project, full)
  begun.send({ path: '/slow' })
  // nobody will accept this one
  const waiting = get({ port }).catch((error: unknown) => error)
  await until('it is begun', async () => (await project.status()).groups[0]?.processes[0]?.requests === 2)
  const stopped = await project.shiftwork('stop', '--json')
  expect({ code: stopped.code, ...(JSON.parse(stopped.stdout) as object) }).toMatchObject({
    code: 0,
    connectionsCut: 0,
    killed: 0,
  })
  expect(stopped.ms).toBeLessThan(15_000)
  expect(JSON.parse((await begun.answer()).body)).toMatchObject({ pid: full })
  expect(await waiting).toMatchObject({ outcome: expect.stringMatching(/reset|closed/) as string })
  expect(silent.isClosed).toBe(true)
})
