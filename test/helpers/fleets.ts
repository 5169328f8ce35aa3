/** What `status` says of a fleet, against what the process table says. */
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Status } from '../../src/ipc/status.ts'
import { socketRows } from '../../src/os/sockets.ts'
import { until } from './processes.ts'
import type { Project } from './project.ts'

/** The pids of each group by slot, of those that serve. */
export function servingOf(status: Status): Record<string, number[]> {
  return Object.fromEntries(
    status.groups.map(({ name, processes }) => [
      name,
      processes.filter((row) => row.state === 'serving').map((row) => row.pid ?? 0),
    ]),
  )
}

export async function serving(project: Project): Promise<Record<string, number[]>> {
  return servingOf(await project.status())
}

/** How many workers of each group serve. */
export async function numbers(project: Project): Promise<Record<string, number>> {
  const rows = Object.entries(await serving(project))
  return Object.fromEntries(rows.map(([name, pids]) => [name, pids.length]))
}

/**
 * The fleet at rest: each slot serves once, and the workers in the process table are those, no more
 * and no fewer.
 */
export async function expectAgreement(project: Project): Promise<Status> {
  await until('it is at rest', async () => (await project.status()).master.state === 'running')
  const status = await project.status()
  const shown = status.groups.flatMap((group) => group.processes)
  expect(shown.map((row) => row.state)).toEqual(shown.map(() => 'serving'))
  for (const { count, processes } of status.groups)
    expect(processes.map((row) => row.id)).toEqual(Array.from({ length: count }, (_, id) => id))
  const workers = project.processes.filter((row) => row.ppid === status.master.pid)
  expect(workers.map((row) => row.pid).sort()).toEqual(shown.map((row) => row.pid).sort())
  return status
}

/** How many commands talk with the master now: what it has accepted has the name of its socket. */
export function conversations(project: Project): number {
  const path = join(project.stateDir, 'control.sock')
  return socketRows().filter(({ address, isListening }) => address.startsWith(path) && !isListening).length
}
