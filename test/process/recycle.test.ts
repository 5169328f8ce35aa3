/** Workers that have served long enough: replaced under load without a loss, one at a time, never too few. E6. */
import { expect, it } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const MIB = 1024 * 1024

/**
 * Each worker writes down when it begins, serves and drains, before the master can hear of it or do
 * anything about it: so the order in the file `order` is the order of what happened.
 * @param onRequest lines that run at each request.
 */
function app(onRequest = ''): string {
  return `
import { appendFileSync } from 'node:fs'
const held = []
export function createApp(worker) {
  const note = (what) => appendFileSync('order', what + ' ' + worker.id + ' ' + process.pid + '\\n')
  note('begins')
  worker.server.once('listening', () => note('serves'))
  worker.onWorkerStop = () => note('drains')
  return (request, response) => {
    ${onRequest}
    response.end(JSON.stringify({ pid: process.pid, version: '1' }))
  }
}
`
}

interface Step {
  what: string
  id: number
  pid: number
}

function orderOf(project: Project): Step[] {
  const lines = project.read('order').trim().split('\n')
  return lines.map((line) => {
    const [what = '', id, pid] = line.split(' ')
    return { what, id: Number(id), pid: Number(pid) }
  })
}

/** Once all serve there are never fewer, and never two replacements are under way. Returns how many there were. */
function expectOneAtATime(steps: readonly Step[], count: number): number {
  const serving = new Map<number, number>()
  const coming = new Set<number>()
  let isComplete = false
  let replaced = 0
  for (const { what, id, pid } of steps) {
    const step = `${what} ${id} ${pid}`
    if (what === 'begins' && [...serving.values()].includes(id)) coming.add(pid)
    if (what === 'serves') {
      serving.set(pid, id)
      if (coming.delete(pid)) replaced++
    }
    if (what === 'drains') serving.delete(pid)
    expect(coming.size, step).toBeLessThanOrEqual(1)
    isComplete ||= serving.size === count
    if (isComplete) expect(serving.size, step).toBeGreaterThanOrEqual(count)
  }
  return replaced
}

interface Limit {
  what: string
  count: number
  options: Record<string, unknown>
  onRequest?: string
  says: RegExp
}

const LIMITS: Limit[] = [
  {
    what: 'maxRequests',
    count: 2,
    options: { maxRequests: 150 },
    says: /web\/\d \(pid \d+\) is due for replacement \(maxRequests\): 1\d\d requests/,
  },
  {
    what: 'maxMemoryBytes',
    count: 2,
    options: { maxMemoryBytes: 112 * MIB },
    // it grows to well above the limit, and no further
    onRequest: `if (held.length < 100) held.push(Buffer.alloc(${MIB}, 1))`,
    says: /web\/\d \(pid \d+\) is due for replacement \(maxMemoryBytes\): 1\d\d MiB of memory/,
  },
  {
    what: 'maxLifetimeMs',
    // all are due at once
    count: 3,
    options: { maxLifetimeMs: 1_500 },
    says: /web\/\d \(pid \d+\) is due for replacement \(maxLifetimeMs\)\n/,
  },
]

for (const { what, count, options, onRequest, says } of LIMITS)
  it(`E6 ${what} under load: every worker replaced, one at a time, never too few, no request lost`, async () => {
    const project = Project.create({ 'start.js': webStart({ count, ...options }), 'app.js': app(onRequest) })
    await project.start()
    const first = await project.pids()
    const target = { port: await project.port() }
    const loads = [true, false].map((isShort) => new Load({ target, clients: 3, pauseMs: [2, 12], isShort }))
    // whoever the kernel prefers is replaced first, the others follow
    const isReplaced = (pid: number): boolean =>
      orderOf(project).some((step) => step.what === 'drains' && step.pid === pid)
    await until('every worker is replaced', () => first.every(isReplaced), 45_000)
    await Promise.all(loads.map((load) => load.more(50)))
    for (const load of loads) {
      const result = await load.stop()
      expect(result.errors).toEqual([])
      expect(result.failed).toBe(0)
    }
    expect(expectOneAtATime(orderOf(project), count)).toBeGreaterThanOrEqual(count)
    expect(project.log).toMatch(says)
    expect(project.log).not.toMatch(/^\S+ (error|warn) /m)
  })

it('E6 a group without a listener, and one that is not reloadable, are recycled too', async () => {
  const project = Project.create({
    'start.js': `
import { Worker } from 'shiftwork'
new Worker({ name: 'jobs', reloadable: false, maxLifetimeMs: 300 })
Worker.runAll()
`,
  })
  await project.start()
  await until(
    'two have left',
    () => (project.log.match(/jobs\/0 \(pid \d+\) left with code 0/g) ?? []).length >= 2,
    30_000,
  )
  const [row] = (await project.status()).groups[0]?.processes ?? []
  expect(row).toMatchObject({ generation: 1, restarts: 0 })
  expect(project.log).not.toMatch(/^\S+ (error|warn) /m)
})

it('a limit below what a fresh worker holds is said, and does not replace it all the time', async () => {
  const project = Project.create({ 'start.js': webStart({ count: 1, maxMemoryBytes: MIB }), 'app.js': app() })
  const running = await project.start()
  await running.line(/this worker holds \d+ MiB as it begins to serve, more than maxMemoryBytes \(1 MiB\)/)
  const before = await project.pids()
  const load = new Load({ target: { port: await project.port() }, clients: 1, pauseMs: [75, 75], maxMs: 50_000 })
  await load.more(40)
  await load.stop()
  expect(await project.pids()).toEqual(before)
})
