/** How long a start and a reload take, each beside the start of a bare process with the same loader. */
import { type Pair, summarize } from './figures.ts'
import { type Loader, Site, type StartOptions } from './site.ts'
import { compared, milliseconds, type Row } from './table.ts'

export const LABELS = { js: 'JS', tsx: 'tsx' } as const satisfies Record<Loader, string>

/** The wall time of `start -d`, which returns when every worker serves. */
export async function daemonStart(loader: Loader, pairs: number): Promise<Row> {
  const site = new Site(loader)
  const measured: Pair[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const started = await site.start({ daemon: true })
    await started.stop()
    measured.push({ ours: started.ms, other: await bareStart(site) })
  }
  await site.end()
  return compared(`start -d, 2 workers, ${LABELS[loader]}`, summarize(measured), { format: milliseconds })
}

/** The wall time of `reload`, which returns when every old worker has left. `bakeMs` undefined: the default. */
export async function reloads(loader: Loader, pairs: number, options: StartOptions & { count: number }): Promise<Row> {
  const site = new Site(loader)
  const started = await site.start(options)
  const measured: Pair[] = []
  for (let pair = 0; pair < pairs; pair++) measured.push({ ours: await site.reload(), other: await bareStart(site) })
  await started.stop()
  await site.end()
  const bake = options.bakeMs === undefined ? 'default bakeMs' : `bakeMs ${options.bakeMs}`
  const what = `reload, ${options.count} workers, ${bake}, ${LABELS[loader]}`
  return compared(what, summarize(measured), { format: milliseconds })
}

/** From the spawn of a bare process until it listens. */
export async function bareStart(site: Site): Promise<number> {
  const bare = await site.launch('bare')
  await bare.stop()
  return bare.ms
}
