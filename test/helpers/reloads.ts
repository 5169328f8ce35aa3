/** Ten reloads under load, and what the load must have come to: the body of the tests of group A. */
import { expect } from 'vitest'
import { app } from './apps.ts'
import type { Target } from './client.ts'
import { Load, type LoadOptions, type LoadResult } from './load.ts'
import type { Project } from './project.ts'

/** Some fifty processes start one after the other, beside the load: on a busy machine each takes seconds. */
export const TEN_RELOADS_MS = 400_000

/** A hundred clients that pause for up to 20 ms, one request in fifty asking for a slow answer. */
export const KEEP_ALIVE = {
  clients: 100,
  pauseMs: [0, 20] as [number, number],
  slowShare: 0.02,
  // most of them begin before the drain of their worker and end in it
  slowPath: '/slow?ms=300',
  maxMs: TEN_RELOADS_MS,
}

/** The same clients, of which each asks more seldom: where it is the transport that differs, and not the load. */
export const LIGHT = { ...KEEP_ALIVE, pauseMs: [0, 100] as [number, number] }

/** Ten reloads, each of new code, under this load. Returns what the load came to. */
export async function tenReloads(project: Project, load: Load): Promise<LoadResult> {
  await load.more(300)
  for (let version = 2; version <= 11; version++) {
    const before = await project.pids()
    project.write('app.js', app(String(version)))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result, error: summary.error }).toEqual({ code: 0, result: 'done', error: null })
    const after = await project.pids()
    expect(after).toHaveLength(before.length)
    expect(after.filter((pid) => before.includes(pid))).toEqual([])
    expect(summary.replaced.map((row) => row.oldPid).sort()).toEqual([...before].sort())
    await load.more(50)
  }
  await load.more(300)
  return load.stop()
}

export function expectNothingLost(result: LoadResult): void {
  expect(result.errors).toEqual([])
  expect(result.counts).toEqual({
    answered: result.counts.answered,
    wrong: 0,
    refused: 0,
    reset: 0,
    closed: 0,
    timeout: 0,
  })
  expect(result.counts.answered).toBeGreaterThan(1_000)
  expect(new Set(result.lastVersions)).toEqual(new Set(['11']))
}

export async function loadOf(project: Project, options: Omit<LoadOptions, 'target'>): Promise<Load> {
  const target: Target = { port: await project.port() }
  return new Load({ target, ...options })
}
