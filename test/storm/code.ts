/** What the fleets of a storm run: a start file with every kind of group, and its code, good or broken, by version. */

/** The groups, and what a storm may do with them. `limit` is the most workers that it asks for. */
export const GROUPS = {
  web: { listens: true, count: 3, limit: 4, isReloadable: true },
  solo: { listens: true, count: 1, limit: 2, isReloadable: true },
  gateway: { listens: true, count: 1, limit: 2, isReloadable: false },
  jobs: { listens: false, count: 1, limit: 2, isReloadable: true },
} as const

export type GroupName = keyof typeof GROUPS
export const GROUP_NAMES = Object.keys(GROUPS) as GroupName[]
export const LISTENING = GROUP_NAMES.filter((name) => GROUPS[name].listens)
export const RELOADABLE = GROUP_NAMES.filter((name) => GROUPS[name].isReloadable)

/** Where the leader of `jobs`, which answers no request, notes that it is one: a time and a pid a line. */
export const LEADERS_FILE = 'leaders.log'
/** Longer than any storm lets a worker of good code take to start, on a slow machine. */
export const START_TIMEOUT_MS = 30_000
const HANG_TIMEOUT_MS = 4_000
/** Each standstill of the master lets the limit begin anew: it is ended by the master, and not by the clock. */
const BLOCKS_MS = 60_000

/** @param knowsHangs whether this version of the package takes `hangTimeoutMs` */
export function startFile(knowsHangs: boolean): string {
  const rows = GROUP_NAMES.map((name) => ({ name, ...GROUPS[name] })).map(({ name, listens, count, isReloadable }) => ({
    listens,
    options: {
      name,
      count,
      reloadable: isReloadable,
      bakeMs: 150,
      startTimeoutMs: START_TIMEOUT_MS,
      stopTimeoutMs: 10_000,
      ...(knowsHangs && { hangTimeoutMs: HANG_TIMEOUT_MS }),
    },
  }))
  return `
import { Worker } from 'shiftwork'
for (const { listens, options } of ${JSON.stringify(rows)}) {
  const worker = listens ? new Worker('http://127.0.0.1:0', options) : new Worker(options)
  worker.onWorkerStart = async (self) => {
    const { createApp, startJobs } = await import('./app.js')
    if (listens) self.onRequest = createApp(self)
    else startJobs(self)
  }
}
Worker.runAll()
`
}

/**
 * How code can be broken, so that a reload of it must be rejected. What bakes breaks in the turn in which it was
 * prepared: later it may have been admitted, where the process had to wait for the processor.
 */
export const FAULTS = {
  'does not parse': { top: 'const = ', begin: '' },
  'throws at import': { top: "throw new Error('storm: thrown at import')", begin: '' },
  'throws in onWorkerStart': { top: '', begin: "throw new Error('storm: thrown in onWorkerStart')" },
  'exits in onWorkerStart': { top: '', begin: 'process.exit(3)' },
  'exits while it bakes': { top: '', begin: 'setImmediate(() => process.exit(4))' },
  'throws while it bakes': { top: '', begin: "setImmediate(() => { throw new Error('storm: thrown late') })" },
  'never becomes ready': { top: 'await new Promise(() => setInterval(() => undefined, 1000))', begin: '' },
} as const
export type Fault = keyof typeof FAULTS

/**
 * The code of a version. Every answer says who gave it, from which version, and whether it leads.
 * `/slow` takes 0.3 s; `/crash` throws outside of the request, `/exit` ends the process, `/hang` blocks it.
 */
export function appFile(version: number, fault: Fault | null = null): string {
  const { top, begin } = fault === null ? { top: '', begin: '' } : FAULTS[fault]
  return `
import { appendFileSync } from 'node:fs'
${top}
function begin() {
  ${begin}
}
export function startJobs(worker) {
  begin()
  setInterval(() => {
    if (worker.isLeader) appendFileSync('${LEADERS_FILE}', Date.now() + ' ' + process.pid + '\\n')
  }, 50)
}
export function createApp(worker) {
  begin()
  return (request, response) => {
    const reply = () => response.end(JSON.stringify({ pid: process.pid, version: ${version}, leader: worker.isLeader }))
    if (request.url === '/slow') return void setTimeout(reply, 300)
    if (request.url === '/crash') return void setTimeout(() => { throw new Error('storm: crashed as asked') })
    if (request.url === '/exit') process.exit(9)
    if (request.url === '/hang') for (const until = Date.now() + ${BLOCKS_MS}; Date.now() < until; );
    reply()
  }
}
`
}
