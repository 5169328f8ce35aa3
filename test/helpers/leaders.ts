/** Who leads: a group whose processes write it down, what `status` says, and that there were never two. */
import { expect } from 'vitest'
import type { Project } from './project.ts'

/** Three processes `jobs`, each of which notes when it becomes leader and, first thing in its drain, that it is none any more. */
export const LEADERS = `
import { appendFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs', count: 3, bakeMs: 0 })
const note = (what) => appendFileSync('leaders.txt', process.hrtime.bigint() + ' ' + process.pid + ' ' + what + '\\n')
jobs.onLeader = (worker) => note(worker.isLeader ? 'leads' : 'LIES')
jobs.onWorkerStop = (worker) => note(worker.isLeader ? 'LIES' : 'leaves')
jobs.onWorkerStart = (worker) => {
  // a process that leads says so all the time: two at once would be seen
  setInterval(() => { if (worker.isLeader) note('works') }, 2)
}
Worker.runAll()
`

/** The leader's pid; null while there is none. */
export async function leaderOf(project: Project): Promise<number | null> {
  return (await project.status()).groups[0]?.processes.find((row) => row.leader)?.pid ?? null
}

/**
 * Who has led, in the order of time. Fails when a process led again after another one had: then there
 * were two at once.
 */
export function expectOneAtATime(project: Project): number[] {
  const events = project
    .read('leaders.txt')
    .trim()
    .split('\n')
    .map((line) => line.split(' ') as [string, string, string])
    .sort((a, b) => Number(BigInt(a[0]) - BigInt(b[0])))
  expect(events.filter(([, , what]) => what === 'LIES')).toEqual([])
  const order: number[] = []
  for (const [, pid, what] of events) if (what !== 'leaves' && order.at(-1) !== Number(pid)) order.push(Number(pid))
  expect(order).toEqual([...new Set(order)])
  return order
}
