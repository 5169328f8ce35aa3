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

it('U5 onStatus: its figures are in status and metrics, what does not fit is left out and logged once, and it is asked only once it can answer', async () => {
  const project = Project.create({ 'start.js': START, 'app.js': 'export const ready = undefined' })
  const running = await project.start()
  const looks = (status: Status): number => Number(figuresOf(status)['gateway']?.['looks'])
  const first = await project.status()
  const base = looks(first)
  expect(figuresOf(first)).toEqual({
    gateway: { clients: 0, looks: base, mode: 'ear\u001b[31mly', isFull: false },
    jobs: null,
    plain: null,
    slow: { isReady: true },
  })
  expect(looks(await project.status())).toBe(base + 1)
  const shown = (await project.shiftwork('status')).stdout
  expect(shown).toContain(`\n  gateway/0  clients 0  looks ${base + 2}  mode early  isFull false\n`)

  const lines = (await page(targetOf(first.master.metrics ?? '')))
    .split('\n')
    .filter((line) => /^[^#].*figure/.test(line))
  expect(lines).toEqual([
    'shiftwork_worker_figure{group="gateway",worker="0",figure="clients"} 0',
    expect.stringMatching(/^shiftwork_worker_figure\{group="gateway",worker="0",figure="looks"\} \d+$/),
  ])

  const said = (): string => running.stdout + running.stderr
  await running.line(/onStatus threw: Error: no figures today/)
  await running.line(/onStatus: wrong is NaN: left out/)
  await running.line(/onStatus: it returned a promise, which is not awaited: left out/)
  expect(said().match(/shiftwork: onStatus/g)).toHaveLength(3)
  expect(said()).not.toContain('nobody waits for this')

  // a frozen worker says nothing
  const [pid = 0] = await project.pids('gateway')
  await freeze(project, pid)
  expect(figuresOf(await project.status())).toMatchObject({ gateway: null, slow: { isReady: true } })
  await thaw(project, pid)
  await until('it speaks again', async () => figuresOf(await project.status())['gateway'] !== null)

  // one that starts is not asked before it can answer
  const waiting = 'new Promise((resolve) => process.once("SIGUSR2", resolve))'
  project.write('app.js', `export const ready = ${waiting}\nconsole.log('it waits for a signal')`)
  const reload = project.reload('slow')
  await running.line(/it waits for a signal/)
  const starting = (await project.status()).groups.at(-1)?.processes.find((row) => row.state === 'starting')
  expect(starting?.figures).toBeNull()
  process.kill(starting?.pid ?? 0, 'SIGUSR2')
  expect((await reload).code).toBe(0)
  expect(figuresOf(await project.status())['slow']).toEqual({ isReady: true })
  expect(said().match(/shiftwork: onStatus/g)).toHaveLength(3)
  expect((await project.shiftwork('stop')).code).toBe(0)
})
