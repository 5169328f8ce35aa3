/** Operations that change the number of workers, or that only look. */
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Status } from '../../src/ipc/status.ts'
import type { Random } from '../unit/random.ts'
import { GROUP_NAMES, GROUPS, type GroupName, RELOADABLE } from './code.ts'
import type { Operation } from './operation.ts'
import type { Step } from './step.ts'

const scale: Operation = {
  name: 'scale',
  weight: 6,
  touches: ['counts'],
  joins: true,
  plan: (random) => {
    const groups = random.chance(0.3) ? [random.pick(GROUP_NAMES), 'web' as const] : [random.pick(GROUP_NAMES)]
    const to = new Map(groups.map((name) => [name, countFor(name, random)]))
    const words = [...to].map(([name, count]) => `${name}=${count}`)
    return { text: `scale ${words.join(' ')}`, run: (step) => scaleTo(step, to, words) }
  },
}

function countFor(name: GroupName, random: Random): number {
  return random.int(name === 'web' ? 2 : 1, GROUPS[name].limit)
}

async function scaleTo(step: Step, to: ReadonlyMap<GroupName, number>, words: string[]): Promise<void> {
  Object.assign(step.witness.allowance.counts, Object.fromEntries(to))
  const result = await step.insist(0, 'scale', '--json', ...words)
  if (result?.code !== 0) return
  for (const [name, count] of to) step.fleet.counts[name] = count
}

/** One more in every reloadable group, and one less again. */
const bySignal: Operation = {
  name: 'scale by signals',
  weight: 2,
  touches: ['counts'],
  joins: false,
  plan: () => ({
    text: 'SIGTTIN, then SIGTTOU',
    run: async (step) => {
      const { counts } = step.fleet
      for (const [signal, change] of [['SIGTTIN', 1] as const, ['SIGTTOU', 0] as const]) {
        const wanted = Object.fromEntries(RELOADABLE.map((name) => [name, counts[name] + change]))
        Object.assign(step.witness.allowance.counts, wanted)
        step.fleet.signalMaster(signal)
        await counted(step, wanted)
      }
    },
  }),
}

async function counted(step: Step, wanted: Partial<Record<string, number>>): Promise<void> {
  const isSo = ({ master, groups }: Status): boolean =>
    master.state === 'running' && groups.every(({ name, count }) => count === (wanted[name] ?? count))
  for (const giveUpAt = performance.now() + 60_000; performance.now() < giveUpAt; await delay(50))
    if (isSo(await step.fleet.status())) return
  step.break(`not scaled to ${JSON.stringify(wanted)} after 60 s`)
}

const looks: Operation = {
  name: 'status, several at once',
  weight: 4,
  touches: [],
  joins: true,
  plan: (random) => {
    const count = random.int(2, 4)
    const run = async (step: Step): Promise<void> => {
      const results = await Promise.all(Array.from({ length: count }, () => step.expect(0, 'status', '--json')))
      for (const result of results) if (result?.code === 0) step.witness.status(JSON.parse(result.stdout) as Status)
    }
    return { text: `${count} times status`, run }
  },
}

const rotation: Operation = {
  name: 'log rotation',
  weight: 2,
  touches: ['log'],
  joins: true,
  plan: () => ({
    text: 'the log renamed, and logs --reopen',
    run: async (step) => {
      const log = join(step.fleet.project.stateDir, 'shiftwork.log')
      renameSync(log, `${log}.${Date.now()}`)
      const result = await step.insist(0, 'logs', '--reopen')
      if (result?.code === 0 && !existsSync(log)) step.break('logs --reopen: exit 0, and there is no log')
    },
  }),
}

const second: Operation = {
  name: 'a second start',
  weight: 1,
  touches: [],
  joins: true,
  plan: () => ({ text: 'start -d', run: async (step) => void (await step.expect(1, 'start', '-d')) }),
}

export const COMMAND_OPERATIONS: readonly Operation[] = [scale, bySignal, looks, rotation, second]
