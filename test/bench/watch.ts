/** How long it takes from a file that is saved to the first answer of the new code, beside the start of one process. */
import { summarize } from './figures.ts'
import { type Loader, Site } from './site.ts'
import { compared, milliseconds, type Row } from './table.ts'
import { bareStart, LABELS } from './times.ts'

/** What a save may cost beyond one start: the quiet time, a look at the files, the way through the master. */
const MAX_MORE_MS = 150

export async function savedToServing(loader: Loader, pairs: number): Promise<Row> {
  const site = new Site(loader)
  const started = await site.start({ count: 2, bakeMs: 0, watch: true })
  const measured: { ours: number; other: number }[] = []
  for (let pair = 0; pair < pairs; pair++) {
    measured.push({ ours: await site.save(started.port), other: await bareStart(site) })
    await site.settled()
  }
  await started.stop()
  await site.end()
  const figures = summarize(measured)
  const isMet = figures.ours - figures.other <= MAX_MORE_MS
  const row = compared(`a save until it is served, ${LABELS[loader]}`, figures, { format: milliseconds })
  return { ...row, target: { text: `<= +${MAX_MORE_MS}`, isMet } }
}
