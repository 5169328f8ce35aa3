/** Operations that load code: good, broken and mended, in every way that a reload can be asked for. */
import { setTimeout as delay } from 'node:timers/promises'
import { FAULTS, type Fault, GROUP_NAMES, RELOADABLE } from './code.ts'
import type { Kind } from './fleet.ts'
import type { Operation, Planned } from './operation.ts'
import type { Step } from './step.ts'

const WAYS: readonly string[][] = [
  [],
  [],
  [],
  ['-g'],
  ['--surge', '2'],
  ['--strategy', 'atomic'],
  ['--strategy', 'atomic'],
  ['--wait', 'serving'],
  ['--timeout', '8'],
]

/** A person who watches waits for no bake: code that fails only then is admitted there. */
const LATE: readonly Fault[] = ['exits while it bakes', 'throws while it bakes']

function allow(step: Step, words: readonly string[]): void {
  const { allowance } = step.witness
  if (words.includes('atomic')) allowance.isAtomic = true
  if (words.includes('--surge')) allowance.surge = Number(words[words.indexOf('--surge') + 1])
}

const good: Operation = {
  name: 'reload',
  weight: 10,
  touches: ['code'],
  joins: true,
  plan: (random) => {
    const words = random.pick(WAYS)
    const run = async (step: Step): Promise<void> => {
      allow(step, words)
      step.fleet.write()
      await step.reload(RELOADABLE, ...words)
    }
    return { text: ['reload', ...words].join(' '), run }
  },
}

const named: Operation = {
  name: 'reload of one group',
  weight: 5,
  touches: ['code'],
  joins: true,
  kinds: ['daemon', 'foreground'],
  plan: (random) => {
    const group = random.pick(GROUP_NAMES)
    const words = group === 'gateway' ? ['--force', group] : [group]
    const run = async (step: Step): Promise<void> => {
      step.fleet.write()
      await step.reload([group], ...words)
    }
    return { text: `reload ${words.join(' ')}`, run }
  },
}

const unchanged: Operation = {
  name: 'reload of the same code',
  weight: 2,
  touches: ['code'],
  joins: true,
  plan: () => ({ text: 'reload of the same code', run: (step) => step.reload(RELOADABLE) }),
}

const several: Operation = {
  name: 'several reloads at once',
  weight: 3,
  touches: ['code'],
  joins: true,
  plan: (random) => {
    const count = random.int(2, 4)
    const run = async (step: Step): Promise<void> => {
      allow(step, ['atomic'])
      step.fleet.write()
      const ways: string[][] = Array.from({ length: count }, (_, index) =>
        index === 1 ? ['--strategy', 'atomic'] : [],
      )
      await Promise.all(ways.map((words) => step.reload(RELOADABLE, ...words)))
    }
    return { text: `${count} reloads at once`, run }
  },
}

const bySignal: Operation = {
  name: 'reload by a signal',
  weight: 2,
  touches: ['code'],
  joins: false,
  plan: (random) => {
    const signal = random.pick(['SIGHUP', 'SIGUSR2'] as const)
    const run = async (step: Step): Promise<void> => {
      const { fleet } = step
      const before = (await fleet.status()).master.generation
      const version = fleet.write()
      fleet.signalMaster(signal)
      await reloaded(step, before, version)
    }
    return { text: `reload by ${signal}`, run }
  },
}

const saved: Operation = {
  name: 'a saved file',
  weight: 8,
  touches: ['code'],
  joins: false,
  kinds: ['watched'],
  plan: () => ({
    text: 'a saved file',
    run: async (step) => {
      const before = (await step.fleet.status()).master.generation
      await reloaded(step, before, step.fleet.write())
    },
  }),
}

/** Until a reload that nobody is told of is done. */
async function reloaded(step: Step, generation: number, version: number): Promise<void> {
  for (const giveUpAt = performance.now() + 60_000; performance.now() < giveUpAt; await delay(50)) {
    const { master, lastReload } = await step.fleet.status()
    if (master.generation <= generation || master.state !== 'running') continue
    if (lastReload?.result !== 'done') step.break(`the reload came to ${lastReload?.result}`)
    step.promise(RELOADABLE, version)
    return
  }
  step.break('the reload is not done after 60 s')
}

const killed: Operation = {
  name: 'a reload whose command is killed',
  weight: 3,
  touches: ['code'],
  joins: true,
  plan: (random) => {
    const ms = random.int(50, 900)
    const run = async (step: Step): Promise<void> => {
      step.fleet.write()
      const asking = step.fleet.launch('reload')
      await delay(ms)
      asking.kill('SIGKILL')
      await asking.ended
      // whatever became of it, the next one follows it
      await step.reload(RELOADABLE)
    }
    return { text: `reload, its command killed after ${ms} ms, and again`, run }
  },
}

function broken(fault: Fault): Operation {
  return {
    name: `code that ${fault}`,
    weight: fault === 'never becomes ready' ? 0.5 : 1.2,
    touches: ['code', 'counts', 'workers'],
    joins: true,
    ...(LATE.includes(fault) && { kinds: ['daemon', 'foreground'] as readonly Kind[] }),
    plan: (random) => {
      const words = random.chance(0.3) ? ['--strategy', 'atomic'] : []
      const run = async (step: Step): Promise<void> => {
        allow(step, words)
        step.witness.banned.add(step.fleet.write(fault))
        await step.rejected(...words)
        await mend(step)
      }
      return { text: `${['reload', ...words].join(' ')} of code that ${fault}, then mended`, run }
    },
  }
}

async function mend(step: Step): Promise<void> {
  step.fleet.write()
  await step.reload(RELOADABLE)
}

/** README: a worker that crashes after a rejected reload is started from what is there. */
const crashOnBroken: Operation = {
  name: 'a kill while the code on disk is broken',
  weight: 2,
  touches: ['code', 'counts', 'workers'],
  joins: false,
  isDeadly: true,
  kinds: ['daemon', 'foreground'],
  plan: (random) => {
    const place = random.next()
    const run = async (step: Step): Promise<void> => {
      step.witness.banned.add(step.fleet.write('throws in onWorkerStart'))
      await step.rejected()
      const pids = await step.fleet.pidsOf('web')
      const pid = pids[Math.floor(place * pids.length)] ?? 0
      step.dead.add(pid)
      step.fleet.signal(pid, 'SIGKILL')
      await delay(300)
      await mend(step)
    }
    return { text: 'a web worker killed while the code on disk is broken, then mended', run }
  },
}

const planned: Operation = {
  name: 'dry run',
  weight: 1,
  touches: [],
  joins: true,
  plan: () => ({
    text: 'reload --dry-run',
    run: async (step) => void (await step.expect(0, 'reload', '--dry-run', '--json')),
  }),
}

/** Refused with a reason, and nothing happens. */
const refused: Operation = {
  name: 'reload of what cannot be reloaded',
  weight: 1,
  touches: [],
  joins: true,
  plan: (random): Planned => {
    const name = random.pick(['gateway', 'nobody'])
    return { text: `reload ${name}`, run: async (step) => void (await step.expect(2, 'reload', name)) }
  },
}

export const RELOADS: readonly Operation[] = [
  good,
  named,
  unchanged,
  several,
  bySignal,
  saved,
  killed,
  ...(Object.keys(FAULTS) as Fault[]).map(broken),
  crashOnBroken,
  planned,
  refused,
]
