/**
 * `npm run bench`: what Shiftwork costs beside what it replaces, measured side by side in one run.
 * Prints one table; a target that is missed is said there and is no failure. Exits 1 when something
 * could not be measured. `--quick` measures less often. Ctrl-C leaves nothing behind.
 */
import { keptConnections, shortConnections } from './cpu.ts'
import { echoes, idleSockets } from './echo.ts'
import { gatewayMessages } from './gateway.ts'
import { IdleMasters } from './idle.ts'
import { failedInReloads } from './loss.ts'
import { endSites } from './site.ts'
import { heading, type Row, rowText, section } from './table.ts'
import { daemonStart, reloads } from './times.ts'
import { savedToServing } from './watch.ts'

interface Section {
  what: string
  other: string
  measures: (() => Promise<Row | Row[]>)[]
}

const isQuick = process.argv.includes('--quick')
const often = (full: number, quick: number): number => (isQuick ? quick : full)
const IDLE = { connections: often(10_000, 1_000) }
const idle = new IdleMasters()

const SECTIONS: Section[] = [
  {
    what: 'Processor time, all processes together',
    other: 'node:cluster round robin with 2 workers; node:http in one process',
    measures: [
      () => shortConnections({ rounds: often(2, 1), turns: often(6, 3) }),
      () => keptConnections({ rounds: often(3, 1), turns: often(16, 8) }),
    ],
  },
  {
    what: 'Messages, one worker: processor time, and memory',
    other: 'node:net with a line splitter; ws; each in one process',
    measures: [
      () => echoes({ rounds: often(2, 1), turns: often(10, 4) }),
      () => idleSockets({ ...IDLE, entry: 'echo', what: 'per idle WebSocket', atMost: 1.1 }),
    ],
  },
  {
    what: 'Through a gateway and a business worker: wall time, and memory',
    other: 'ws, in one process',
    measures: [
      () => gatewayMessages({ turns: often(8, 4) }),
      () => idleSockets({ ...IDLE, entry: 'gateway', what: 'per idle client' }),
    ],
  },
  {
    what: 'Wall time of the command',
    other: 'a bare Node process with the same loader, until it listens',
    measures: [
      () => daemonStart('js', often(3, 1)),
      () => daemonStart('tsx', often(3, 1)),
      () => reloads('js', often(3, 1), { count: 2, bakeMs: 0 }),
      () => reloads('js', often(2, 1), { count: 8, bakeMs: 0 }),
      () => reloads('js', often(2, 1), { count: 2 }),
      () => reloads('js', often(2, 1), { count: 8 }),
      () => reloads('tsx', often(2, 1), { count: 2, bakeMs: 0 }),
    ],
  },
  {
    what: 'Watching: from a saved file to the first answer of the new code',
    other: 'a bare Node process with the same loader, until it listens',
    measures: [() => savedToServing('js', often(8, 3)), () => savedToServing('tsx', often(8, 3))],
  },
  {
    what: 'An idle master',
    other: 'an idle Node process with the same loader',
    measures: [() => idle.watch(often(10_000, 5_000))],
  },
  {
    what: 'Ten reloads under 100 keep-alive clients, nothing is tried again',
    other: 'none',
    measures: [failedInReloads],
  },
]

let isInterrupted = false

async function main(): Promise<void> {
  await idle.start()
  console.log(heading())
  for (const { what, other, measures } of SECTIONS) {
    console.log(section(what, other))
    for (const measure of measures) await show(measure)
  }
}

async function show(measure: () => Promise<Row | Row[]>): Promise<void> {
  try {
    for (const row of [await measure()].flat()) console.log(rowText(row))
  } catch (error) {
    if (isInterrupted) throw error
    process.exitCode = 1
    console.log(`  not measured: ${error instanceof Error ? error.message : String(error)}`)
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    isInterrupted = true
    process.exitCode = signal === 'SIGINT' ? 130 : 143
    void endSites().finally(() => process.exit())
  })

try {
  await main()
} catch (error) {
  if (!isInterrupted) throw error
} finally {
  await endSites()
}
