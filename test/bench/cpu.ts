/**
 * Processor time per connection and per request. The servers run at the same time and are asked in
 * turn, by a load in a process of its own that is not counted. Many short turns: what else runs on
 * the machine then disturbs neighbours alike.
 */
import { cpuMsOf, type Pair, summarize } from './figures.ts'
import { Site, type Started } from './site.ts'
import { compared, microseconds, type Row } from './table.ts'

export interface CpuOptions {
  /** Fresh processes for each round: two of the same code differ for all their life. */
  rounds: number
  turns: number
}

interface Plan extends CpuOptions {
  kind: 'short' | 'keep'
  /** Before anything is counted, until the code is compiled. */
  warmRequests: number
  requests: number
  /** Ours first. */
  open: (site: Site) => Promise<Started[]>
}

export async function shortConnections(options: CpuOptions): Promise<Row[]> {
  const open = async (site: Site): Promise<Started[]> => [
    await site.start({ count: 2 }),
    await site.launch('cluster', { NODE_CLUSTER_SCHED_POLICY: 'rr' }),
    await site.launch('cluster', { NODE_CLUSTER_SCHED_POLICY: 'none' }),
  ]
  const turns = await measure({ ...options, kind: 'short', warmRequests: 8_000, requests: 1_500, open })
  return [
    compared('per short connection, 2 workers', against(turns, 1), { format: microseconds, atMost: 0.3 }),
    compared('  beside a shared handle (the floor)', against(turns, 2), { format: microseconds }),
  ]
}

export async function keptConnections(options: CpuOptions): Promise<Row> {
  const open = async (site: Site): Promise<Started[]> => [await site.start({ count: 1 }), await site.launch('bare')]
  const turns = await measure({ ...options, kind: 'keep', warmRequests: 25_000, requests: 6_000, open })
  return compared('per keep-alive request, 1 worker', against(turns, 1), { format: microseconds, atMost: 1.03 })
}

function against(turns: readonly number[][], index: number): Pair & { ratio: number } {
  return summarize(turns.map((costs) => ({ ours: costs[0] ?? Number.NaN, other: costs[index] ?? Number.NaN })))
}

/** What each server cost in each turn. */
async function measure(plan: Plan): Promise<number[][]> {
  const turns: number[][] = []
  for (let round = 0; round < plan.rounds; round++) {
    const site = new Site('js')
    const servers = await plan.open(site)
    for (const server of servers) await site.load(server.port, plan.kind, plan.warmRequests)
    for (let turn = 0; turn < plan.turns; turn++) {
      const costs: number[] = []
      for (const server of servers) costs.push(await costOf(site, server, plan))
      turns.push(costs)
    }
    await site.end()
  }
  return turns
}

/** Microseconds of processor time for each request, all processes of the server together. */
async function costOf(site: Site, { port, pids }: Started, { kind, requests }: Plan): Promise<number> {
  const before = cpuMsOf(pids)
  await site.load(port, kind, requests)
  return ((cpuMsOf(pids) - before) * 1000) / requests
}
