/** Operations that break workers, or hold them and the master up for a moment. */
import { setTimeout as delay } from 'node:timers/promises'
import { Client, Unanswered } from '../helpers/client.ts'
import { GROUP_NAMES, type GroupName, LISTENING } from './code.ts'
import { KNOWS_HANGS } from './fleet.ts'
import type { Operation } from './operation.ts'
import type { Step } from './step.ts'

/** Longer than a worker blocks that was told to. */
const RUIN_TIMEOUT_MS = 90_000

/** One of a group's processes; null: it has none just now. `place` is from 0, below 1. */
async function oneOf(step: Step, group: GroupName, place: number): Promise<number | null> {
  const pids = await step.fleet.pidsOf(group)
  return pids[Math.floor(place * pids.length)] ?? null
}

const kill: Operation = {
  name: 'kill',
  weight: 4,
  touches: ['workers'],
  joins: true,
  isDeadly: true,
  plan: (random) => {
    const [group, place, ms] = [random.pick(GROUP_NAMES), random.next(), random.int(0, 1_500)]
    const run = async (step: Step): Promise<void> => {
      if (step.touched.size > 1) await delay(ms)
      const pid = await oneOf(step, group, place)
      if (pid === null) return
      step.dead.add(pid)
      step.fleet.signal(pid, 'SIGKILL')
    }
    return { text: `SIGKILL to a worker of ${group} after ${ms} ms`, run }
  },
}

const killAll: Operation = {
  name: 'kill all',
  weight: 2,
  touches: ['workers'],
  joins: true,
  isDeadly: true,
  plan: () => ({
    text: 'SIGKILL to all workers',
    run: async (step) => {
      const status = await step.fleet.status()
      const pids = status.groups.flatMap((group) => group.processes.flatMap((row) => row.pid ?? []))
      for (const pid of pids) step.dead.add(pid)
      for (const pid of pids) step.fleet.signal(pid, 'SIGKILL')
    },
  }),
}

/** What others began in that worker is answered: only the request that did it is lost. */
function request(path: '/crash' | '/exit' | '/hang', weight: number): Operation {
  const isGentle = path === '/crash'
  return {
    name: `a request that makes a worker ${path.slice(1)}`,
    weight,
    touches: ['workers'],
    joins: true,
    isDeadly: true,
    plan: (random) => {
      const group = random.pick(LISTENING)
      return { text: `${path} in ${group}`, run: (step) => ruin(step, group, path, isGentle) }
    },
  }
}

async function ruin(step: Step, group: GroupName, path: string, isGentle: boolean): Promise<void> {
  const status = await step.fleet.status()
  const listen = status.groups.find(({ name }) => name === group)?.listen[0]
  const client = await Client.open({ port: Number(/:(\d+)$/.exec(listen ?? '')?.[1]), host: '127.0.0.1' })
  try {
    const answer = await client.request()
    const { pid } = JSON.parse(answer.body) as { pid: number }
    // it asked to be left: the worker drains, and there is nothing to ruin
    if (answer.headers.get('connection') === 'close') return
    if (!isGentle) step.dead.add(pid)
    await client.request({ path, timeoutMs: RUIN_TIMEOUT_MS })
    step.break(`${path} was answered by ${pid}`)
  } catch (error) {
    if (!(error instanceof Unanswered) || !['closed', 'reset'].includes(error.outcome)) step.break(`${path}: ${error}`)
  } finally {
    client.close()
  }
}

const replaced: Operation = {
  name: 'SIGTERM to a worker',
  weight: 3,
  touches: ['workers'],
  joins: true,
  plan: (random) => {
    const [group, place] = [random.pick(GROUP_NAMES), random.next()]
    const run = async (step: Step): Promise<void> => {
      const pid = await oneOf(step, group, place)
      if (pid !== null) step.fleet.signal(pid, 'SIGTERM')
    }
    return { text: `SIGTERM to a worker of ${group}`, run }
  },
}

/** It goes on by itself: it is neither killed nor started twice. */
const pausedWorker: Operation = {
  name: 'a worker stopped for a moment',
  weight: 3,
  touches: [],
  joins: true,
  plan: (random) => {
    const [group, place, ms] = [random.pick(GROUP_NAMES), random.next(), random.int(50, 1_500)]
    const run = async (step: Step): Promise<void> => {
      const pid = await oneOf(step, group, place)
      if (pid === null || !step.fleet.signal(pid, 'SIGSTOP')) return
      await delay(ms)
      step.fleet.signal(pid, 'SIGCONT')
    }
    return { text: `a worker of ${group} stopped for ${ms} ms`, run }
  },
}

/** Commands say so at once; the workers serve on, and it goes on with what it was at. */
const pausedMaster: Operation = {
  name: 'the master stopped for a moment',
  weight: 3,
  touches: ['master'],
  joins: true,
  plan: (random) => {
    const [before, ms] = [random.int(0, 800), random.int(0, 600)]
    const run = async (step: Step): Promise<void> => {
      await delay(before)
      step.fleet.signalMaster('SIGSTOP')
      try {
        const { code, ms: took, stdout } = await step.fleet.command('status', '--json')
        if (code !== 4) step.break(`status of a frozen master: exit ${code}: ${stdout}`)
        if (took > 20_000) step.break(`status of a frozen master took ${Math.round(took)} ms`)
        await delay(ms)
      } finally {
        step.fleet.signalMaster('SIGCONT')
      }
    }
    return { text: `the master stopped after ${before} ms, for a status and ${ms} ms`, run }
  },
}

export const FAULT_OPERATIONS: readonly Operation[] = [
  kill,
  killAll,
  request('/crash', 3),
  request('/exit', 2),
  ...(KNOWS_HANGS ? [request('/hang', 2)] : []),
  replaced,
  pausedWorker,
  pausedMaster,
]
