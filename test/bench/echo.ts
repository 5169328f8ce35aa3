/**
 * What a message costs over `text://` and over WebSocket, beside a server that uses `node:net` or `ws` and
 * nothing else; and what an idle WebSocket costs. Both servers run at the same time and are asked in turn.
 * A message a second is as good as its processor time: with one process that is what limits it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { cpuMsOf, type Pair, rssBytesOf, summarize } from './figures.ts'
import { Site, type Started } from './site.ts'
import { compared, microseconds, type Row } from './table.ts'

interface Kind {
  label: string
  listen: string
  other: 'lines' | 'sockets'
  load: 'text' | 'websocket'
  /** How much of the other's messages a second must be had. */
  atLeast: number
}

const KINDS: Kind[] = [
  { label: 'per echo, text://', listen: 'text://127.0.0.1:0', other: 'lines', load: 'text', atLeast: 0.9 },
  {
    label: 'per echo, WebSocket',
    listen: 'websocket://127.0.0.1:0',
    other: 'sockets',
    load: 'websocket',
    atLeast: 0.95,
  },
]

const LOAD = { connections: 16, messages: 24_000 }
const WARM = { connections: 16, messages: 80_000 }
const SETTLE_MS = 3_000

export async function echoes({ rounds, turns }: { rounds: number; turns: number }): Promise<Row[]> {
  const rows: Row[] = []
  for (const kind of KINDS) {
    const pairs: Pair[] = []
    for (let round = 0; round < rounds; round++) pairs.push(...(await measure(kind, turns)))
    // to two digits: it is the reciprocal of what is promised
    const atMost = Math.floor(100 / kind.atLeast) / 100
    rows.push(compared(kind.label, summarize(pairs), { format: microseconds, atMost }))
  }
  return rows
}

async function measure({ listen, other, load }: Kind, turns: number): Promise<Pair[]> {
  const site = new Site('js', 'echo')
  const [ours, bare] = [await site.start({ listen, count: 1 }), await site.launch(other)]
  for (const { port } of [ours, bare]) await site.loadEcho(port, load, WARM)
  const pairs: Pair[] = []
  const costOf = async ({ port, pids }: Started): Promise<number> => {
    const before = cpuMsOf(pids)
    await site.loadEcho(port, load, LOAD)
    return ((cpuMsOf(pids) - before) * 1000) / LOAD.messages
  }
  for (let turn = 0; turn < turns; turn++) pairs.push({ ours: await costOf(ours), other: await costOf(bare) })
  await site.end()
  return pairs
}

interface Idle {
  connections: number
  entry: 'echo' | 'gateway'
  what: string
  atMost?: number
}

/** Resident memory of all processes for each WebSocket that is open and silent. */
export async function idleSockets({ connections, entry, what, atMost }: Idle): Promise<Row> {
  const site = new Site('js', entry)
  const [ours, bare] = [await site.start({ listen: 'websocket://127.0.0.1:0', count: 1 }), await site.launch('sockets')]
  const pair = { ours: await heldBytes(site, ours, connections), other: await heldBytes(site, bare, connections) }
  await site.end()
  const label = `${what}, ${connections} open`
  return compared(label, summarize([pair]), { format: kilobytes, ...(atMost !== undefined && { atMost }) })
}

async function heldBytes(site: Site, { port, pids }: Started, connections: number): Promise<number> {
  const resident = (): number => pids.reduce((sum, pid) => sum + rssBytesOf(pid), 0)
  // once before it counts, so that what the process grows to is grown
  await site.held(port, connections / 10, () => delay(SETTLE_MS))
  const before = resident()
  const after = await site.held(port, connections, async () => {
    await delay(SETTLE_MS)
    return resident()
  })
  return (after - before) / connections
}

function kilobytes(value: number): string {
  return `${(value / 1024).toFixed(1)} KB`
}
