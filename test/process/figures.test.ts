/** What user code says of its process: in `status`, in the metrics, and never at the price of either. */
import { expect, it } from 'vitest'
import type { Figures, Status } from '../../src/ipc/status.ts'
import { freeze, thaw } from '../helpers/faults.ts'
import { page, targetOf } from '../helpers/metrics.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const START = `
import { Worker } from 'shiftwork'
const gateway = new Worker('text://127.0.0.1:0', { name: 'gateway' })
gateway.onMessage = (connection, line) => connection.send(line)
let looks = 0
gateway.onStatus = (worker) => ({ clients: worker.connections.size, looks: ++looks, mode: 'ear\\u001b[31mly', isFull: false, wrong: 0 / 0 })
const jobs = new Worker({ name: 'jobs' })
jobs.onStatus = async () => { throw new Error('nobody waits for this') }
const plain = new Worker({ name: 'plain' })
plain.onStatus = () => { throw new Error('no figures today') }
const slow = new Worker({ name: 'slow' })
slow.onWorkerStart = async (worker) => {
  const { ready } = await import('./app.js')
  await ready
  worker.state = { isReady: true }
}
slow.onStatus = (worker) => ({ isReady: worker.state.isReady })
Worker.runAll({ metrics: 'http://127.0.0.1:0' })
`

function figuresOf(status: Status): Record<string, Figures | null | undefined> {
  return Object.fromEntries(status.groups.map(({ name, processes }) => [name, processes.at(-1)?.figures]))
}

/** The first status in which these groups have told theirs. */
async function statusWith(project: Project, ...names: string[]): Promise<Status> {
  let status = await project.status()
  await until(`${names.join(' and ')} tell theirs`, async () => {
    const isTold = (): boolean => names.every((name) => figuresOf(status)[name])
    if (!isTold()) status = await project.status()
    return isTold()
  })
  return status
}

it('U5 onStatus: its figures are in status and metrics, what does not fit is left out and logged once, and it is asked only once it can answer', async () => {
  const project = Project.create({ 'start.js': START, 'app.js': 'export const ready = undefined' })
  const running = await project.start()
  const looks = (status: Status): number => Number(figuresOf(status)['gateway']?.['looks'])
  const first = await statusWith(project, 'gateway', 'slow')
  let last = looks(first)
  expect(figuresOf(first)).toEqual({
    gateway: { clients: 0, looks: last, mode: 'ear\u001b[31mly', isFull: false },
    jobs: null,
    plain: null,
    slow: { isReady: true },
  })
  // one that tells too late has looked, too
  await until('it is asked once by each', async () => {
    const before = last
    last = looks(await statusWith(project, 'gateway'))
    return last === before + 1
  })
  await until('it is shown', async () => {
    const { stdout } = await project.shiftwork('status')
    const shown = /\n {2}gateway\/0 {2}clients 0 {2}looks (\d+) {2}mode early {2}isFull false\n/.exec(stdout)
    return Number(shown?.[1]) > last
  })

  const target = targetOf(first.master.metrics ?? '')
  let lines: string[] = []
  await until('it is on the page', async () => {
    lines = (await page(target)).split('\n').filter((line) => /^[^#].*figure/.test(line))
    return lines.length > 0
  })
  expect(lines).toEqual([
    'shiftwork_worker_figure{group="gateway",worker="0",figure="clients"} 0',
    expect.stringMatching(/^shiftwork_worker_figure\{group="gateway",worker="0",figure="looks"\} \d+$/),
  ])

  const said = (): string => running.stdout + running.stderr
  await running.line(/onStatus threw: Error: no figures today/)
  await running.line(/onStatus: wrong is NaN: left out/)
  await running.line(/onStatus: it returned a promise, which is not awaited: left out/)
  expect(said().match(/^shiftwork: \S+\/\d \(pid \d+\): onStatus/gm)).toHaveLength(3)
  expect(said()).not.toContain('nobody waits for this')

  // a frozen worker says nothing
  const [pid = 0] = await project.pids('gateway')
  await freeze(project, pid)
  expect(figuresOf(await statusWith(project, 'slow'))).toMatchObject({ gateway: null, slow: { isReady: true } })
  await thaw(project, pid)
  await statusWith(project, 'gateway')

  // one that starts is not asked before it can answer
  const waiting = 'new Promise((resolve) => process.once("SIGUSR2", resolve))'
  project.write('app.js', `export const ready = ${waiting}\nconsole.log('it waits for a signal')`)
  const reload = project.reload('slow')
  await running.line(/it waits for a signal/)
  const starting = (await project.status()).groups.at(-1)?.processes.find((row) => row.state === 'starting')
  expect(starting?.figures).toBeNull()
  process.kill(starting?.pid ?? 0, 'SIGUSR2')
  expect((await reload).code).toBe(0)
  expect(figuresOf(await statusWith(project, 'slow'))['slow']).toEqual({ isReady: true })
  expect(said().match(/^shiftwork: \S+\/\d \(pid \d+\): onStatus/gm)).toHaveLength(3)
  expect((await project.shiftwork('stop')).code).toBe(0)
})
