/** Timers of workers: their ticks, their part in the drain, and the leader's, which never overlap in a group. */
import { expect, it } from 'vitest'
import type { Replaced } from '../../src/ipc/status.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'

function jobs(code: string, options: Record<string, unknown> = {}): Project {
  return Project.create({
    'start.js': `
import { Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs', bakeMs: 0, ...${JSON.stringify(options)} })
jobs.onWorkerStart = async (worker) => (await import('./jobs.js')).run(worker)
Worker.runAll()
`,
    'jobs.js': `
import { appendFileSync } from 'node:fs'
import { Timer } from 'shiftwork'
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const note = (...words) => appendFileSync('ticks.txt', [Date.now(), process.pid, ...words].join(' ') + '\\n')
${code}`,
  })
}

interface Line {
  at: number
  pid: number
  what: string
}

function notes(project: Project): Line[] {
  return project
    .read('ticks.txt')
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([at, pid, ...words]) => ({ at: Number(at), pid: Number(pid), what: words.join(' ') }))
}

it('every and after tick, cancel ends them, and what a tick throws is logged with the place of its timer', async () => {
  const project = jobs(`
export const run = () => {
  let count = 0
  const every = Timer.every(10, async () => {
    console.log('tick', ++count, every.isActive)
    if (count === 2) throw new Error('rejected')
    if (count === 4) every.cancel()
  })
  const once = Timer.after(20, () => { console.log('once'); setImmediate(() => console.log('once is', once.isActive)); throw new Error('thrown') })
  Timer.after(1, () => console.log('NEVER')).cancel()
}`)
  const running = await project.start()
  await running.line(/^tick 4 true$/m)
  await running.line(/^once is false$/m)
  await running.line(
    /^shiftwork: \S+\/0 \(pid \d+\): the timer of Module\.run \(file:\S+\/jobs\.js:9:23\) threw: Error: rejected$/m,
  )
  await running.line(
    /^shiftwork: \S+\/0 \(pid \d+\): the timer of Module\.run \(file:\S+\/jobs\.js:14:22\) threw: Error: thrown$/m,
  )
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(running.stdout).not.toMatch(/NEVER|tick 5/)
  expect(running.stdout.match(/^once$/gm)).toHaveLength(1)
})

for (const [code, sentence] of [
  ['Timer.every(0, () => undefined)', /Timer\.every: ms is 0[\s\S]+It must be a whole number from 1/],
  ['Timer.after(undefined, () => undefined)', /Timer\.after: ms is null[\s\S]+It must be a whole number/],
  ["Timer.every(5, 'text')", /Timer\.every: the callback is "text"[\s\S]+It must be a function/],
  ['Timer.every(5, () => undefined, { leader: true })', /options has an unknown member "leader"/],
] as const)
  it(`refused at once: ${code}`, async () => {
    const result = await jobs(`export const run = () => ${code}`).shiftwork('start', '-d')
    expect(result.code).toBe(1)
    expect(result.stderr).toMatch(sentence)
  })

it('outside a worker a timer is refused with a sentence', async () => {
  const project = Project.create({
    'start.js': `import { Timer, Worker } from 'shiftwork'\nnew Worker({ name: 'jobs' })\nTimer.every(5, () => 0)\nWorker.runAll()`,
  })
  const result = await project.through('js', 'start')
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/Timer\.every works in a worker only/)
})

it('a tick that runs when the drain begins is finished, and none begins any more', async () => {
  const project = jobs(`
export const run = (worker) => {
  let letGo
  const held = new Promise((resolve) => { letGo = resolve })
  Timer.every(5, async () => { note('begun'); await held; note('done') })
  worker.onWorkerStop = () => {
    note('stop')
    Timer.every(1, () => note('NEVER'))
    setTimeout(letGo, 100)
  }
}`)
  await project.start()
  await until('a tick runs', () => project.written('ticks.txt').includes('begun'))
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(notes(project).map(({ what }) => what)).toEqual(['begun', 'stop', 'done'])
})

it('a tick that does not end is left at the deadline, named, and only then another leads', async () => {
  const project = jobs(
    `
export const run = (worker) => {
  worker.onLeader = () => note('leads')
  process.once('exit', () => note('exit'))
  Timer.every(5, () => { note('begun'); return new Promise(() => undefined) }, { leaderOnly: true })
}`,
    { count: 2, stopTimeoutMs: 1_000 },
  )
  const running = await project.start()
  await until('a tick runs', () => project.written('ticks.txt').includes('begun'))
  const replaceLeader = async () => {
    const { pid: leader = 0 } = notes(project).findLast(({ what }) => what === 'begun') ?? {}
    const since = notes(project).findIndex(({ pid }) => pid === leader)
    const lines = (): Line[] => notes(project).slice(since)
    const { code, summary } = await project.reload()
    expect(code).toBe(0)
    expect(isAlive(leader)).toBe(false)
    await until('the next one ticks', () => lines().filter(({ what }) => what === 'begun').length === 2)
    const order = lines().filter(({ pid, what }) => what !== 'exit' || pid === leader)
    return { leader, order: order.map(({ what }) => what), replaced: summary.replaced }
  }
  // one that has not had the processor for 2 s after its deadline is killed
  const wasKilled = ({ replaced }: { replaced: Replaced[] }) => replaced.some(({ killed }) => killed)
  const { leader, order } = await inTime(replaceLeader, wasKilled)
  await running.line(
    new RegExp(
      `\\(pid ${leader}\\): the timer of Module\\.run \\(\\S+jobs\\.js:\\d+:\\d+\\) was not done at the deadline`,
    ),
  )
  expect(order).toEqual(['leads', 'begun', 'exit', 'leads', 'begun'])
})

it('through ten reloads of three processes the leader’s ticks never overlap and never pause for long', async () => {
  const project = jobs(
    `
export const run = () => {
  Timer.every(20, async () => { note('begun'); await wait(60); note('done') }, { leaderOnly: true })
}`,
    { count: 3 },
  )
  await project.start()
  await until('the leader ticks', () => project.written('ticks.txt') !== '')
  for (let reloads = 0; reloads < 10; reloads++) {
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
    const ticked = notes(project).length
    await until('the new leader ticks', () => notes(project).length > ticked)
  }
  expect((await project.shiftwork('stop')).code).toBe(0)
  const lines = notes(project)
  // begun, done, begun, done …: each by one process, and nobody in between
  for (let index = 0; index < lines.length; index += 2) {
    const [begun, done] = [lines[index], lines[index + 1]]
    expect([begun?.what, done?.what, done?.pid]).toEqual(['begun', 'done', begun?.pid])
  }
  expect(new Set(lines.map(({ pid }) => pid)).size).toBeGreaterThanOrEqual(11)
  const pauses = lines.flatMap((line, index) =>
    line.what === 'begun' && index > 0 ? [line.at - (lines[index - 1]?.at ?? 0)] : [],
  )
  expect(Math.max(...pauses)).toBeLessThan(10_000)
})
