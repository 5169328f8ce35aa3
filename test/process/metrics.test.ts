/** The numbers of a real master: each is true, and none is told twice. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { app } from '../helpers/apps.ts'
import { Client, get, Unanswered } from '../helpers/client.ts'
import { freeze, kill, thaw } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { metricsOf, metricsStart, page, probe, scrape, scrapeUntil } from '../helpers/metrics.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import {
  checkByPromtool,
  countSeriesByPython,
  hasPromtool,
  hasPythonClient,
  parseExposition,
  type Scrape,
  sumOf,
} from '../helpers/prometheus.ts'

const REQUESTS = 'shiftwork_worker_requests_total'

/** So many, and never more. */
async function expectRequests(target: Parameters<typeof scrape>[0], count: number): Promise<Scrape> {
  const scraped = await scrapeUntil(target, `${count} requests`, (now) => sumOf(now, REQUESTS) >= count)
  expect(sumOf(scraped, REQUESTS)).toBe(count)
  return scraped
}

async function ask(port: number, times: number): Promise<void> {
  for (let i = 0; i < times; i++) expect((await get({ port })).status).toBe(200)
}

async function serving(project: Project, count: number, gone: readonly number[]): Promise<void> {
  await until('all serve again', async () => {
    const pids = await project.pids()
    return pids.length === count && !pids.some((pid) => gone.includes(pid))
  })
}

it('tells the truth: each request once, through a reload, a rejected one, an exit and a kill', async () => {
  const code = (version: string): string =>
    app(version).replace(`if (request.method`, `if (request.url === '/exit') process.exit(3)\n    if (request.method`)
  const project = Project.create({ 'start.js': metricsStart(), 'app.js': code('1') })
  await project.start()
  const [port, target] = [await project.port(), await metricsOf(project)]
  await expectRequests(target, 0)
  await ask(port, 25)
  await expectRequests(target, 25)

  // counted after the last scrape, by processes that are gone at the next one
  await ask(port, 8)
  project.write('app.js', code('2'))
  expect((await project.reload()).code).toBe(0)
  const reloaded = await scrape(target)
  expect(sumOf(reloaded, REQUESTS)).toBe(33)
  for (const id of [0, 1])
    expect(reloaded.values.get(`shiftwork_worker_generation{group="web",worker="${id}"}`)).toBe(2)
  expect(Object.fromEntries(reloaded.values)).toMatchObject({
    'shiftwork_reloads_total{result="done"}': 1,
    'shiftwork_reloads_total{result="rejected"}': 0,
    'shiftwork_last_reload_result{result="done"}': 1,
    'shiftwork_group_generation{group="web"}': 2,
    'shiftwork_group_workers_wanted{group="web"}': 2,
    'shiftwork_group_workers{group="web",state="serving"}': 2,
  })

  project.write('app.js', 'export const createApp = () => { throw new Error("no database") }')
  expect((await project.reload()).code).toBe(5)
  const rejected = await scrape(target)
  expect(Object.fromEntries(rejected.values)).toMatchObject({
    'shiftwork_reloads_total{result="done"}': 1,
    'shiftwork_reloads_total{result="rejected"}': 1,
    'shiftwork_last_reload_result{result="rejected"}': 1,
    'shiftwork_last_reload_result{result="done"}': 0,
    'shiftwork_group_generation{group="web"}': 2,
    'shiftwork_worker_failed_starts_total{group="web",worker="0"}': 2,
  })
  expect(sumOf(rejected, REQUESTS)).toBe(33)
  expect(sumOf(rejected, 'shiftwork_worker_crashes_total')).toBe(0)

  project.write('app.js', code('2'))
  await expect(get({ port }, '/exit')).rejects.toThrow(Unanswered)
  await scrapeUntil(target, 'the exit is counted', (now) => sumOf(now, 'shiftwork_worker_crashes_total') === 1)
  await serving(project, 2, [])
  await expectRequests(target, 34)

  // all that it has counted was told by the scrape above
  const [victim = 0] = await project.pids()
  await kill(project, victim)
  await serving(project, 2, [victim])
  const clients = [await Client.open({ port }), await Client.open({ port }), await Client.open({ port })]
  for (const client of clients) expect((await client.request()).status).toBe(200)
  const last = await scrapeUntil(target, 'three connections', (now) => sumOf(now, 'shiftwork_worker_connections') === 3)
  expect(sumOf(last, REQUESTS)).toBe(37)
  expect(sumOf(last, 'shiftwork_worker_crashes_total')).toBe(2)
  expect(sumOf(last, 'shiftwork_worker_leader')).toBe(1)
  expect(sumOf(last, 'shiftwork_group_kills_total')).toBe(0)
  for (const client of clients) client.close()

  const row = (await project.status()).groups[0]?.processes[0]
  const startTime = last.values.get('shiftwork_worker_start_time_seconds{group="web",worker="0"}') ?? 0
  expect(Math.abs(startTime - Date.parse(row?.startedAt ?? '') / 1000)).toBeLessThan(1)
  // or every scrape would look like a restart
  const again = await scrape(target)
  expect(again.values.get('shiftwork_worker_start_time_seconds{group="web",worker="0"}')).toBe(startTime)
})

it('counts what was cut at a deadline, and who had to be killed', async () => {
  const stubborn = `worker.onWorkerStop = () => {
    if (!existsSync('stubborn')) return
    rmSync('stubborn')
    for (;;);
  }`
  const project = Project.create({
    'start.js': metricsStart({ count: 1, stopTimeoutMs: 300 }),
    'app.js': `import { existsSync, rmSync } from 'node:fs'\n${app('1', stubborn)}`,
  })
  await project.start()
  const [port, target] = [await project.port(), await metricsOf(project)]
  const expectCounts = async (counts: { cut: number; kills: number }): Promise<void> => {
    const { values } = await scrape(target)
    expect({
      cut: values.get('shiftwork_group_connections_cut_total{group="web"}'),
      kills: values.get('shiftwork_group_kills_total{group="web"}'),
    }).toEqual(counts)
    expect(values.get('shiftwork_worker_crashes_total{group="web",worker="0"}')).toBe(0)
  }
  const told = { cut: 0, kills: 0 }
  // one that is too late for its own deadline is killed before it can say what it has cut: then the next one is asked
  for (let asked = 1; told.cut === 0 && asked <= 5; asked++) {
    const slow = await Client.open({ port })
    slow.send({ path: '/slow?ms=60000' })
    await expectRequests(target, asked)
    const [row] = (await project.reload()).summary.replaced
    slow.close()
    expect(row?.killed || row?.connectionsCut).toBeTruthy()
    told.cut += row?.connectionsCut ?? 0
    told.kills += Number(row?.killed)
    await expectCounts(told)
  }
  expect(told.cut).toBe(1)
  project.write('stubborn', '')
  expect((await project.reload()).code).toBe(0)
  await expectCounts({ cut: 1, kills: told.kills + 1 })
})

it('never tells a series twice nor a counter backwards: scraped all the time, under load, reloads and a crash', async () => {
  const project = Project.create({ 'start.js': metricsStart(), 'app.js': app('1') })
  await project.start()
  const [port, target] = [await project.port(), await metricsOf(project)]
  const load = new Load({ target: { port }, clients: 10, pauseMs: [5, 20] })
  const pages: string[] = []
  let isOn = true
  const scraping = (async () => {
    for (; isOn; await delay(10)) pages.push(await page(target))
  })()
  for (const version of ['2', '3', '4']) {
    project.write('app.js', app(version))
    expect((await project.reload()).summary.result).toBe('done')
    await load.more(20)
  }
  const [victim = 0] = await project.pids()
  await kill(project, victim)
  await serving(project, 2, [victim])
  await load.more(20)
  await load.stop()
  isOn = false
  await scraping
  pages.push(await page(target))

  expect(pages.length).toBeGreaterThan(10)
  const scrapes = pages.map(parseExposition)
  expect(stepsBack(scrapes)).toEqual([])
  // the counts of a slot are there in every scrape, whoever starts, serves, drains or is dead
  const slots = [0, 1].map((id) => `${REQUESTS}{group="web",worker="${id}"}`)
  expect(scrapes.filter(({ values }) => slots.some((slot) => !values.has(slot)))).toEqual([])
  const last = scrapes.at(-1)?.values
  expect(last?.get('shiftwork_reloads_total{result="done"}')).toBe(3)
  expect(last?.get('shiftwork_group_generation{group="web"}')).toBe(4)
  if (hasPythonClient) expect(countSeriesByPython(pages)).toEqual(scrapes.map(({ values }) => values.size))
  if (hasPromtool) expect(checkByPromtool(pages.at(-1) ?? '')).toBe('')
})

/** Every counter that was lower than in a scrape before it. */
function stepsBack(scrapes: readonly Scrape[]): string[] {
  const found: string[] = []
  const highest = new Map<string, number>()
  for (const { values } of scrapes)
    for (const [series, value] of values) {
      if (!/_total\b/.test(series)) continue
      const before = highest.get(series) ?? 0
      if (value < before) found.push(`${series}: ${before}, then ${value}`)
      highest.set(series, value)
    }
  return found
}

it('leaves out what a stopped worker cannot say, and asks once for a hundred scrapes', async () => {
  const counting = `
  let asked = 0
  process.on('message', (message) => { if (message?.body?.type === 'stats') asked++ })
  process.on('SIGWINCH', () => worker.id === 0 && console.log('asked ' + asked))`
  const project = Project.create({ 'start.js': metricsStart(), 'app.js': app('1', counting) })
  const running = await project.start()
  const target = await metricsOf(project)
  const [stopped = 0] = await project.pids()
  await freeze(project, stopped)
  const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open(target)))
  const answers = await Promise.all(clients.map((client) => client.request({ path: '/metrics' })))
  for (const client of clients) client.close()
  const names = ['heap_used_bytes', 'connections', 'event_loop_delay_seconds', 'event_loop_utilization_ratio']
  const seriesOf = (id: number): string[] => names.map((name) => `shiftwork_worker_${name}{group="web",worker="${id}"}`)
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    const { values } = parseExposition(answer.body)
    expect(values.get('shiftwork_group_workers{group="web",state="stopped"}')).toBe(1)
    expect(seriesOf(0).filter((series) => values.has(series))).toEqual([])
    expect(values.get('shiftwork_worker_resident_memory_bytes{group="web",worker="0"}')).toBeGreaterThan(1_000_000)
  }
  process.kill(stopped, 'SIGWINCH')
  await thaw(project, stopped)
  const [, asked] = await running.line(/^asked (\d+)$/m)
  // one by one it would have been a hundred
  expect(Number(asked)).toBeLessThan(30)

  await freeze(project, stopped)
  await scrapeUntil(target, 'the other one tells all', ({ values }) =>
    seriesOf(1).every((series) => values.has(series)),
  )
  expect(await probe(target, '/live')).toBe('200 ok')
  expect(await probe(target, '/ready')).toBe('200 ready')
  await thaw(project, stopped)
  await scrapeUntil(target, 'so does the first', ({ values }) => seriesOf(0).every((series) => values.has(series)))
})
