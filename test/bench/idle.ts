/**
 * What a master costs that has nothing to do: memory, and how often it wakes, beside a process that
 * only sits there. They are started long before they are looked at: some seconds after its start V8
 * collects garbage a few times, and then rests.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Pair, rssBytesOf, summarize, switchesOf } from './figures.ts'
import { type Loader, Site, type Started } from './site.ts'
import { compared, megabytes, type Row } from './table.ts'

const SETTLE_MS = 15_000
const MAX_WAKES_PER_SECOND = 2

const KINDS = [
  { label: 'JS, start -d', loader: 'js', daemon: true },
  { label: 'JS, start', loader: 'js', daemon: false },
  { label: 'tsx, start -d', loader: 'tsx', daemon: true },
  { label: 'tsx, start', loader: 'tsx', daemon: false },
] as const satisfies { label: string; loader: Loader; daemon: boolean }[]

/** One master of each kind, and what it is compared with. */
export class IdleMasters {
  readonly #pairs: { label: string; site: Site; ours: Started; other: Started }[] = []
  #startedAt = 0

  async start(): Promise<void> {
    for (const { label, loader, daemon } of KINDS) {
      const site = new Site(loader)
      this.#pairs.push({ label, site, ours: await site.start({ daemon }), other: await site.launch('idle') })
    }
    this.#startedAt = performance.now()
  }

  /** Looks at them for so long while nothing else is measured, and ends them. */
  async watch(watchMs: number): Promise<Row[]> {
    await delay(Math.max(0, this.#startedAt + SETTLE_MS - performance.now()))
    const before = this.#read(switchesOf)
    await delay(watchMs)
    const after = this.#read(switchesOf)
    const memory = this.#read(rssBytesOf)
    for (const { site } of this.#pairs) await site.end()
    return [
      ...this.#pairs.map(({ label }, index) => memoryRow(label, memory[index])),
      ...this.#pairs.map(({ label }, index) => wakesRow(label, before[index], after[index], watchMs)),
    ]
  }

  #read(figure: (pid: number) => number): Pair[] {
    return this.#pairs.map(({ ours, other }) => ({
      ours: figure(ours.pids[0] ?? 0),
      other: figure(other.pids[0] ?? 0),
    }))
  }
}

function memoryRow(label: string, pair: Pair | undefined): Row {
  return compared(`resident, ${label}`, summarize(pair ? [pair] : []), { format: megabytes, atMost: 1.3 })
}

/** No ratio: the other one hardly ever wakes. */
function wakesRow(label: string, before: Pair | undefined, after: Pair | undefined, watchMs: number): Row {
  const rate = (side: keyof Pair): number => (((after?.[side] ?? Number.NaN) - (before?.[side] ?? 0)) * 1000) / watchMs
  const [ours, other] = [rate('ours'), rate('other')]
  const target = { text: `<= ${MAX_WAKES_PER_SECOND}/s`, isMet: ours <= MAX_WAKES_PER_SECOND }
  return { what: `wake-ups, ${label}`, ours: perSecond(ours), other: perSecond(other), ratio: null, target }
}

function perSecond(value: number): string {
  return `${value.toFixed(1)}/s`
}
