/**
 * What the kernel has counted for a process: processor time, memory, wake-ups. And the median, since
 * other programs use the machine meanwhile. Read here and not through the product, which is measured.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }))
const MS_PER_TICK = 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** User and system time of all processes together, in milliseconds. @throws when one is gone. */
export function cpuMsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (cpuMsOfThreads(pid) ?? cpuMsOfTicks(pid)), 0)
}

/** In nanoseconds, where the kernel keeps them: a tick is a tenth of what one turn of the load costs. */
function cpuMsOfThreads(pid: number): number | null {
  try {
    return tasksOf(pid)
      .map((task) => Number(readFileSync(`${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6)
      .reduce((sum, ms) => sum + ms, 0)
  } catch {
    // a kernel without scheduler statistics
    return null
  }
}

/** proc_pid_stat(5), fields 14 and 15. */
function cpuMsOfTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK
}

/** Resident memory, in bytes. */
export function rssBytesOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES
}

/** How often a thread of the process has got a processor and given it up again. */
export function switchesOf(pid: number): number {
  return tasksOf(pid)
    .flatMap((task) => [
      ...readFileSync(`${task}/status`, 'utf8').matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm),
    ])
    .reduce((sum, [, count]) => sum + Number(count), 0)
}

function tasksOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** One figure of ours and the one that it is compared with, measured one right after the other. */
export interface Pair {
  ours: number
  other: number
}

/** The medians of both sides, and the median of the ratios (which is not their ratio). */
export function summarize(pairs: readonly Pair[]): Pair & { ratio: number } {
  return {
    ours: median(pairs.map(({ ours }) => ours)),
    other: median(pairs.map(({ other }) => other)),
    ratio: median(pairs.map(({ ours, other }) => ours / other)),
  }
}
