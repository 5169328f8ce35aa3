/** What ten reloads cost the clients: every request that got no right answer is counted, none is tried again. */
import { Load } from '../helpers/load.ts'
import { Site } from './site.ts'
import type { Row } from './table.ts'

const RELOADS = 10
const CLIENTS = 100

export async function failedInReloads(): Promise<Row> {
  const site = new Site('js')
  const started = await site.start({ bakeMs: 50 })
  const load = new Load({ target: { port: started.port }, clients: CLIENTS, pauseMs: [0, 20] })
  try {
    await load.more(1_000)
    for (let reload = 0; reload < RELOADS; reload++) {
      await site.reload()
      await load.more(200)
    }
  } finally {
    await load.stop()
  }
  const { failed, counts } = load.result
  await started.stop()
  await site.end()
  return {
    what: `failed of ${counts.answered + failed} requests`,
    ours: String(failed),
    other: '-',
    ratio: null,
    target: { text: '0', isMet: failed === 0 },
  }
}
