/**
 * What it costs that clients are held by one process and handled by another: messages through a gateway and a
 * business worker, beside a `ws` server that does both itself. Wall time of the same load, in turns: unlike
 * processor time it knows that there are two processes at work, and what the machine has for them.
 */
import { type Pair, summarize } from './figures.ts'
import { Site } from './site.ts'
import { compared, microseconds, type Row } from './table.ts'

const ECHO = { connections: 100, messages: 60_000, atLeast: 0.6 }
const FAN = { connections: 1_000, messages: 60, atLeast: 0.8 }

export async function gatewayMessages({ turns }: { turns: number }): Promise<Row[]> {
  const site = new Site('js', 'gateway')
  const [ours, bare] = [await site.start({ count: 1 }), await site.launch('sockets')]
  const echo = (port: number): Promise<number> => site.loadEcho(port, 'websocket', ECHO)
  const fan = (port: number): Promise<number> => site.loadFan(port, FAN)
  const rows: Row[] = []
  for (const [label, load, { atLeast }] of [
    ['per routed echo, 100 clients', echo, ECHO],
    ['per delivery to a group of 1 000', fan, FAN],
  ] as const) {
    for (const { port } of [ours, bare]) await load(port)
    const pairs: Pair[] = []
    for (let turn = 0; turn < turns; turn++)
      pairs.push({ ours: (await load(ours.port)) * 1_000, other: (await load(bare.port)) * 1_000 })
    const atMost = Math.floor(100 / atLeast) / 100
    rows.push(compared(label, summarize(pairs), { format: microseconds, atMost }))
  }
  await site.end()
  return rows
}
