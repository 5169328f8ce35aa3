/**
 * Hundreds of reloads by file changes under load, and what is left of them in the master: resident
 * memory and descriptors, every tenth of the way. Prints a table; exits 1 when a request failed or a
 * descriptor was left. Run by hand: `node --import tsx test/bench/watch-soak.ts --reloads 200`.
 */
import { readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Load } from '../helpers/load.ts'
import { median, rssBytesOf } from './figures.ts'
import { endSites, Site } from './site.ts'
import { megabytes } from './table.ts'

const { values } = parseArgs({ options: { reloads: { type: 'string', default: '200' } } })
const reloads = Number(values.reloads)

interface Sample {
  reloads: number
  rssBytes: number
  descriptors: number
}

/** When the last channel of a worker is closed, and garbage was collected: the median of three seconds. */
async function sample(pid: number, count: number): Promise<Sample> {
  const memory: number[] = []
  const descriptors: number[] = []
  for (let look = 0; look < 15; look++) {
    await delay(200)
    memory.push(rssBytesOf(pid))
    descriptors.push(readdirSync(`/proc/${pid}/fd`).length)
  }
  return { reloads: count, rssBytes: median(memory), descriptors: descriptors.at(-1) ?? 0 }
}

async function main(): Promise<void> {
  const site = new Site('js')
  const started = await site.start({ count: 2, bakeMs: 0, watch: true })
  const master = started.pids[0] ?? 0
  const load = new Load({ target: started, clients: 10, pauseMs: [5, 25], maxMs: 3_600_000 })
  const samples: Sample[] = []
  for (let count = 0; count <= reloads; count++) {
    if (count % Math.max(1, Math.round(reloads / 10)) === 0) {
      samples.push(await sample(master, count))
      console.log(rowText(samples.at(-1)))
    }
    await site.save(started.port)
    await site.settled()
  }
  const { failed, counts, errors } = await load.stop()
  console.log(`failed ${failed} of ${counts.answered + failed} requests ${errors.join('; ')}`)
  const [first, ...rest] = samples
  const isFlat = rest.every(({ descriptors }) => descriptors === first?.descriptors)
  if (failed > 0 || !isFlat) process.exitCode = 1
  await started.stop()
}

function rowText(row: Sample | undefined): string {
  if (!row) return ''
  const cells = [String(row.reloads).padStart(5), megabytes(row.rssBytes).padStart(9), String(row.descriptors)]
  return `${cells[0]} reloads ${cells[1]} ${cells[2]} descriptors`
}

process.once('SIGINT', () => void endSites().finally(() => process.exit(130)))

try {
  await main()
} finally {
  await endSites()
}
