/** More and fewer workers while everything goes on. H6, D7, and D4: all commands at once. */

import { expect, it } from 'vitest'
import type { ReloadSummary, Scaled } from '../../src/ipc/status.ts'
import { app, fleetStart, webStart } from '../helpers/apps.ts'
import { heard, oneJson } from '../helpers/cli.ts'
import { kill } from '../helpers/faults.ts'
import { conversations, expectAgreement, numbers, serving } from '../helpers/fleets.ts'
import { expectOneAtATime, LEADERS, leaderOf } from '../helpers/leaders.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const ANY = 'http://127.0.0.1:0'
const PATIENCE_MS = 30_000

async function started(files: Record<string, string>): Promise<Project> {
  const project = Project.create({ 'app.js': app('1'), ...files })
  await project.start()
  return project
}

/** Clients that keep their connections, and some that never do. */
async function loadsOf(project: Project): Promise<Load[]> {
  const options = { target: { port: await project.port() }, pauseMs: [0, 20] as [number, number], maxMs: 170_000 }
  const loads = [
    new Load({ ...options, clients: 8, slowShare: 0.02 }),
    new Load({ ...options, clients: 3, isShort: true }),
  ]
  for (const load of loads) await load.more(50)
  return loads
}

async function expectNoneFailed(loads: readonly Load[]): Promise<void> {
  for (const load of loads) await load.more(50)
  for (const load of loads) {
    const { failed, errors } = await load.stop()
    expect({ failed, errors }).toEqual({ failed: 0, errors: [] })
  }
}

/** `scale --json`. */
async function scale(project: Project, ...words: string[]): Promise<{ code: number | null; scaled: Scaled }> {
  const result = await project.shiftwork('scale', ...words, '--json')
  return { code: result.code, scaled: oneJson<Scaled>(result) }
}

/** New code that takes its time to start, so that something else can happen meanwhile. */
function slowApp(version: string, ms: number): string {
  return `await new Promise((resolve) => setTimeout(resolve, ${ms}))\n${app(version)}`
}

it('H6 scale up and down loses nothing; it is done when the new ones serve and the old ones are gone', async () => {
  const project = await started({ 'start.js': fleetStart({ web: { listen: ANY, count: 2 }, jobs: {} }) })
  const loads = await loadsOf(project)
  const before = await serving(project)
  for (const [web, jobs] of [
    [4, 2],
    [1, 3],
    [3, 1],
  ] as const) {
    const from = await numbers(project)
    const { code, scaled } = await scale(project, `web=${web}`, `jobs=${jobs}`)
    expect({ code, ...scaled }).toEqual({
      code: 0,
      result: 'done',
      groups: [
        { name: 'web', from: from['web'], to: web },
        { name: 'jobs', from: from['jobs'], to: jobs },
      ],
      durationMs: expect.any(Number) as number,
      error: null,
    })
    expect(await numbers(project)).toEqual({ web, jobs })
    await expectAgreement(project)
    for (const load of loads) await load.more(20)
  }
  // the first of each group is the one that has been there from the start
  expect([(await project.pids())[0], await project.pids('jobs')]).toEqual([before['web']?.[0], before['jobs']])
  const screen = await project.shiftwork('scale', 'web=2')
  expect(screen).toMatchObject({ code: 0, stderr: '' })
  expect(screen.stdout).toMatch(/scale web 3 → 2 done in [^\n]*\n$/)
  // a reload is no reason to forget it
  project.write('app.js', app('2'))
  await scale(project, 'web=3')
  expect((await project.reload()).summary).toMatchObject({ result: 'done', applied: [] })
  expect(await numbers(project)).toEqual({ web: 3, jobs: 1 })
  await expectNoneFailed(loads)
  await expectAgreement(project)
})

it('H6 SIGTTIN and SIGTTOU change every reloadable group by one, lose nothing and never go below 1', async () => {
  const project = Project.create({
    'start.js': fleetStart({ web: { listen: ANY, count: 2 }, jobs: {}, gateway: { reloadable: false } }),
    'app.js': app('1'),
  })
  const master = await project.start()
  const loads = await loadsOf(project)
  const gateway = await project.pids('gateway')
  const becomes = (web: number, jobs: number): Promise<void> =>
    until(
      `web ${web} and jobs ${jobs}`,
      async () => JSON.stringify(await numbers(project)) === JSON.stringify({ web, jobs, gateway: 1 }),
      PATIENCE_MS,
    )
  master.kill('SIGTTIN')
  await becomes(3, 2)
  master.kill('SIGTTIN')
  await becomes(4, 3)
  for (const [web, jobs] of [
    [3, 2],
    [2, 1],
    [1, 1],
  ] as const) {
    master.kill('SIGTTOU')
    await becomes(web, jobs)
  }
  const pids = await serving(project)
  master.kill('SIGTTOU')
  await until('it is said that nothing changes', () => project.log.includes('scale web 1 → 1, jobs 1 → 1 done'))
  for (const words of [['web=0'], ['web=-1'], ['web=1', 'jobs=0'], ['web=1.5'], ['web=1025'], ['web']])
    expect({ words, code: (await project.shiftwork('scale', ...words)).code }).toEqual({ words, code: 2 })
  expect(await serving(project)).toEqual(pids)
  expect(await project.pids('gateway')).toEqual(gateway)
  await expectNoneFailed(loads)
  await expectAgreement(project)
})

it('H6 new workers that fail twice leave the numbers as they were: exit 1 with the error, and it works when mended', async () => {
  const bad = app('1', `if (worker.id >= 2) throw new Error('no licence for a third')`)
  const project = await started({
    'start.js': fleetStart({ web: { listen: ANY, count: 2 }, jobs: { count: 2 } }),
    'app.js': bad,
  })
  const loads = await loadsOf(project)
  const before = await serving(project)
  const screen = await project.shiftwork('scale', 'web=3', 'jobs=1')
  expect({ code: screen.code, stderr: screen.stderr }).toEqual({ code: 1, stderr: '' })
  expect(screen.stdout).toContain('no licence for a third')
  expect(screen.stdout).toMatch(/scale web 2 → 3, jobs 2 → 1 failed in .*: the number of workers is what it was\n$/)
  expect(await serving(project)).toEqual(before)
  const json = await scale(project, 'web=4')
  expect(json.code).toBe(1)
  expect(json.scaled).toMatchObject({ result: 'failed', groups: [{ name: 'web', from: 2, to: 4 }] })
  expect(json.scaled.error?.worker).toMatch(/^web\/[23]$/)
  expect(json.scaled.error?.message).toBe('no licence for a third')
  await expectAgreement(project)
  project.write('app.js', app('2'))
  expect((await scale(project, 'web=4')).code).toBe(0)
  expect(await numbers(project)).toEqual({ web: 4, jobs: 2 })
  await expectNoneFailed(loads)
  await expectAgreement(project)
})

it('H6 workers that are killed while others come and go are back, and the numbers are what was asked for', async () => {
  const project = await started({ 'start.js': webStart({ count: 2 }), 'app.js': slowApp('1', 300) })
  for (const count of [4, 1, 3]) {
    const status = await project.status()
    const before = status.groups[0]?.processes.map((row) => row.pid ?? 0) ?? []
    const draining = (): number => project.log.split('drains (scale)').length
    const drained = draining()
    const isUnderWay = (): boolean =>
      count < before.length
        ? draining() > drained
        : project.processes.some((row) => row.ppid === status.master.pid && !before.includes(row.pid))
    const scaling = scale(project, `web=${count}`)
    await until('it is under way', isUnderWay, PATIENCE_MS)
    await kill(project, ...before)
    expect((await scaling).code).toBe(0)
    await until('all serve again', async () => (await numbers(project))['web'] === count, PATIENCE_MS)
    await expectAgreement(project)
    expect((await project.pids()).filter((pid) => before.includes(pid))).toEqual([])
  }
})

it('H6 when the leader is scaled away there is one other leader after it, and never two', async () => {
  const project = await started({ 'start.js': LEADERS })
  const leader = (): Promise<number | null> => leaderOf(project)
  const led: (number | null)[] = []
  for (let round = 0; round < 2; round++) {
    const [first = 0] = await project.pids('jobs')
    await until('one leads', async () => (await leader()) !== null, PATIENCE_MS)
    led.push(await leader())
    if ((await leader()) === first) {
      await kill(project, first)
      await until('another leads', async () => ![null, first].includes(await leader()), PATIENCE_MS)
      await until('all serve', async () => (await numbers(project))['jobs'] === 3, PATIENCE_MS)
    }
    const away = await leader()
    expect((await scale(project, 'jobs=1')).code).toBe(0)
    const [left = 0] = await project.pids('jobs')
    expect(left).not.toBe(away)
    await until('the one that is left leads', async () => (await leader()) === left, PATIENCE_MS)
    led.push(away, left)
    expect((await scale(project, 'jobs=3')).code).toBe(0)
  }
  expect((await project.shiftwork('stop')).code).toBe(0)
  // in the order of time, and nobody comes back: the one that was left leads on in the next round
  expect(expectOneAtATime(project)).toEqual([...new Set(led)])
})

it('D7 a scale during a reload follows it, and a reload during a scale follows that; nothing is lost', async () => {
  const project = await started({ 'start.js': webStart({ count: 2 }) })
  const loads = await loadsOf(project)
  project.write('app.js', slowApp('2', 300))
  const reload = project.reload()
  await until('it is under way', () => project.log.includes('reload of web'), PATIENCE_MS)
  const up = await scale(project, 'web=4')
  const first = await reload
  expect([first.code, first.summary.replaced.length, up.code]).toEqual([0, 2, 0])
  const after = (await project.status()).groups[0]?.processes ?? []
  expect(after.map((row) => [row.id, row.generation])).toEqual([0, 1, 2, 3].map((id) => [id, 2]))
  const { log } = project
  expect(log.indexOf('scale web 2 → 4 done')).toBeGreaterThan(log.indexOf('serves generation 2'))

  project.write('app.js', slowApp('3', 300))
  const scaling = [scale(project, 'web=5'), scale(project, 'web=6')]
  const known = after.map((row) => row.pid)
  const isNew = (row: { pid: number; title: string }): boolean =>
    row.title.includes('web/4') && !known.includes(row.pid)
  await until('it is under way', () => project.processes.some(isNew), PATIENCE_MS)
  const second = await project.reload()
  expect([second.code, second.summary.result]).toEqual([0, 'done'])
  for (const { code, scaled } of await Promise.all(scaling)) expect([code, scaled.result]).toEqual([0, 'done'])
  await expectNoneFailed(loads)
  const status = await expectAgreement(project)
  expect([5, 6]).toContain(status.groups[0]?.count)
  expect((status.groups[0]?.processes ?? []).map((row) => row.generation)).toEqual(
    Array.from({ length: status.groups[0]?.count ?? 0 }, () => 3),
  )
})

it('D7 a stop cancels the scale under way and those that wait: exit 1, and nothing is left', async () => {
  const project = await started({ 'start.js': webStart({ count: 1, startTimeoutMs: 150_000 }) })
  project.write('app.js', 'await new Promise(() => setInterval(() => undefined, 60_000))')
  const first = project.shiftwork('scale', 'web=2')
  await until('it is under way', async () => (await project.status()).master.state === 'reloading', PATIENCE_MS)
  await until('only that is connected', () => conversations(project) === 1)
  const second = project.shiftwork('scale', 'web=3', '--json')
  const third = project.shiftwork('reload', '--json')
  await until('all three are connected', () => conversations(project) === 3)
  const stop = await project.shiftwork('stop')
  expect(stop).toMatchObject({ code: 0, stderr: '' })
  expect(await first).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/scale web 1 → 2 cancelled in .*: the master was stopped\n$/) as string,
  })
  // those that wait; or that the master has heard only after the stop
  for (const { code, stdout } of await Promise.all([second, third])) {
    expect(code).toBe(1)
    expect(stdout).toMatch(/"result":"cancelled"|The master is stopping/)
  }
  expect(project.processes).toEqual([])
})

/** Where a chain of all these moves can end; none: they do not form one. */
function endsOf(from: number, moves: readonly Scaled['groups'][number][]): number[] {
  if (moves.length === 0) return [from]
  return moves.flatMap((move) =>
    move.from === from
      ? endsOf(
          move.to,
          moves.filter((one) => one !== move),
        )
      : [],
  )
}

for (const withStop of [false, true])
  it(`D4 twelve commands at once${withStop ? ', a stop among them, end all of it' : ' under load: one set of processes at the end, and status says which'}`, async () => {
    const project = await started({ 'start.js': fleetStart({ web: { listen: ANY, count: 2 }, jobs: {} }) })
    const loads = withStop ? [] : await loadsOf(project)
    project.write('app.js', app('2'))
    const commands = [
      ['reload', '--json'],
      ['scale', '--json', 'web=3'],
      ['reload', '--json', 'web'],
      ['scale', '--json', 'web=1', 'jobs=2'],
      ['status', '--json'],
      ['reload', '--json', '--strategy', 'atomic'],
      ['scale', '--json', 'jobs=1'],
      ['reload', '--json', 'jobs', 'web'],
      ['scale', '--json', 'web=2'],
      ['reload', '--json', '--wait', 'serving'],
      ['status', '--json'],
      withStop ? ['stop', '--json'] : ['reload', '--json', '--dry-run'],
    ]
    const results = await Promise.all(
      commands.map(([word = '', ...more]) => heard([word], () => project.shiftwork(word, ...more))),
    )
    for (const result of results) oneJson(result)
    if (withStop) {
      // each was done, or cancelled, or came too late
      for (const [index, { code }] of results.entries())
        expect({ command: commands[index], allowed: [0, 1, 3].includes(code ?? -1), code }).toMatchObject({
          allowed: true,
        })
      expect(results.at(-1)?.code).toBe(0)
      expect(project.processes).toEqual([])
      return
    }
    expect(results.map((result) => result.code)).toEqual(commands.map(() => 0))
    const operations = results.filter((_, index) => ['reload', 'scale'].includes(commands[index]?.[0] ?? ''))
    const ends = operations.slice(0, -1).map((result) => oneJson<ReloadSummary | Scaled>(result).result)
    expect(ends).toEqual(ends.map(() => 'done'))
    await expectNoneFailed(loads)
    const status = await expectAgreement(project)
    const groups = operations.slice(0, -1).flatMap((result) => oneJson<Partial<Scaled>>(result).groups ?? [])
    for (const { name, count } of status.groups) {
      const moves = groups.filter((move) => move.name === name)
      // in whatever order the commands came, each began where the one before it had ended
      expect(endsOf(name === 'web' ? 2 : 1, moves)).toContain(count)
    }
  })
