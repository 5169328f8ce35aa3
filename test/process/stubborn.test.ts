/** Workers that do not leave when they are told to. E7. */
import { expect, it } from 'vitest'
import type { ReloadSummary } from '../../src/ipc/status.ts'
import { app, webStart } from '../helpers/apps.ts'
import { gone, signal } from '../helpers/faults.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

const QUICK = { stopTimeoutMs: 500, server: { keepAliveTimeout: 200 } }

const SPINS = 'worker.onWorkerStop = () => { for (;;); }'

it('E7 a worker that blocks in onWorkerStop is killed 2 s after the deadline, at a reload and at a stop, and both say so', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1, ...QUICK }), 'app.js': app('1', SPINS) })
  const running = await project.start()
  const [pid = 0] = await project.pids()
  project.write('app.js', app('2', SPINS))
  const { code, summary } = await project.reload()
  expect(code).toBe(0)
  expect(summary).toMatchObject({ result: 'done', replaced: [{ oldPid: pid, killed: true, connectionsCut: 0 }] })
  expect(summary.replaced[0]?.drainMs).toBeGreaterThanOrEqual(2_500)
  expect(summary.replaced[0]?.drainMs).toBeLessThan(20_000)
  expect(project.log).toMatch(new RegExp(`web/0 \\(pid ${pid}\\) killed: `))
  const stopped = await project.shiftwork('stop')
  expect(stopped).toMatchObject({ code: 0, stderr: '' })
  expect(stopped.stdout).toMatch(/^stopped: master \d+ and 1 worker, 1 worker killed with what they had\n$/)
  expect(stopped.ms).toBeGreaterThanOrEqual(2_500)
  expect(stopped.ms).toBeLessThan(20_000)
  expect((await running.ended).code).toBe(0)
})

it('E7 an onWorkerStop that never settles holds no reload up: the worker leaves at the deadline, not killed, and the log says so', async () => {
  const never = 'worker.onWorkerStop = () => new Promise(() => {})'
  const project = Project.create({ 'start.js': webStart({ count: 1, ...QUICK }), 'app.js': app('1', never) })
  await project.start()
  const replace = async () => {
    const [pid = 0] = await project.pids()
    return { pid, ...(await project.reload()) }
  }
  // one that has not had the processor for 2 s after its deadline is killed
  const wasKilled = ({ summary }: { summary: ReloadSummary }) => summary.replaced.some(({ killed }) => killed)
  const { pid, code, summary } = await inTime(replace, wasKilled)
  expect({ code, replaced: summary.replaced }).toMatchObject({ code: 0, replaced: [{ oldPid: pid, killed: false }] })
  expect(summary.replaced[0]?.drainMs).toBeGreaterThanOrEqual(500)
  expect(project.log).toMatch(new RegExp(`\\(pid ${pid}\\) left before its last work was done`))
})

it("E7 user code's own SIGTERM handler that does nothing keeps no worker from being replaced, reloaded and stopped", async () => {
  const deaf = "process.on('SIGTERM', () => {})"
  const project = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': app('1', deaf) })
  await project.start()
  const load = new Load({ target: { port: await project.port() }, clients: 10, pauseMs: [0, 10], maxMs: 30_000 })
  await load.more(50)
  const [first = 0, second = 0] = await project.pids()
  signal(project, first, 'SIGTERM')
  await gone(first)
  await until('another one serves', async () => (await project.pids()).length === 2)
  expect((await project.pids())[1]).toBe(second)
  expect((await project.reload()).summary.replaced.map((row) => row.killed)).toEqual([false, false])
  expect((await load.stop()).errors).toEqual([])
  expect((await project.shiftwork('stop')).stdout).toMatch(/^stopped: master \d+ and 2 workers\n$/)
})
