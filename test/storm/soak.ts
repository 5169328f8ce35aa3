/**
 * `npm run soak`: what is left of very many reloads. First `--reloads` (1000) of a worker that does
 * nothing; then `--minutes` (30) of steady load with a reload each ten seconds. Prints what master and a
 * worker that stays hold, and exits 1 when a request or a reload failed, when a descriptor was left, or
 * when the heap grows like something that is kept for each reload.
 */
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { median, rssBytesOf } from '../bench/figures.ts'
import { megabytes } from '../bench/table.ts'
import { app } from '../helpers/apps.ts'
import { descriptorsOf, emptyStart, heaps, heapWitness, reloadOnce, startMeasured } from '../helpers/leaks.ts'
import { Load } from '../helpers/load.ts'
import { Project } from '../helpers/project.ts'

const { values } = parseArgs({
  options: { reloads: { type: 'string', default: '1000' }, minutes: { type: 'string', default: '30' } },
})

/** What is kept for each reload and is bigger than this is found, when there are many. */
const LEAK_BYTES = 2 * 1024
/** Heap snapshots show that what grows first is nothing but machine code and its tables, of code that has run often. */
const CODE_BYTES = 300 * 1024
const RELOAD_EVERY_MS = 10_000
const ROWS = 10

interface Row {
  reloads: number
  heapBytes: number
  rssBytes: number
  descriptors: number
  /** Of the worker that stays; null: there is none. */
  worker: { rssBytes: number; descriptors: number } | null
}

const STEADY_START = `
import { Worker } from 'shiftwork'
${heapWitness()}
for (const options of [{ name: 'web', count: 2 }, { name: 'kept', reloadable: false }]) {
  const worker = new Worker('http://127.0.0.1:0', { ...options, bakeMs: 0 })
  worker.onWorkerStart = async (self) => {
    const { createApp } = await import('./app.js')
    self.onRequest = createApp(self)
  }
}
Worker.runAll()
`

async function look(project: Project, pid: number, keptPid: number | null): Promise<Row> {
  return {
    reloads: heaps(project).length,
    heapBytes: heaps(project).at(-1) ?? 0,
    rssBytes: rssBytesOf(pid),
    descriptors: await descriptorsOf(pid, project),
    // its connections come and go: the fewest of some looks are its own
    worker: keptPid === null ? null : { rssBytes: rssBytesOf(keptPid), descriptors: await descriptorsOf(keptPid) },
  }
}

/** @returns what is wrong with the rows: the first is the start, where code is not yet warm. */
function judge(rows: readonly Row[]): string[] {
  const late = rows.slice(Math.ceil(rows.length / 2))
  const found: string[] = []
  if (new Set(rows.map((row) => row.descriptors)).size > 1) found.push('the master holds other descriptors than before')
  const numbers = late.flatMap((row) => row.worker?.descriptors ?? [])
  if (new Set(numbers).size > 1) found.push('the worker holds other descriptors than before')
  const [first, last] = [late[0], late.at(-1)]
  if (!first || !last || last.reloads === first.reloads) return [...found, 'too few reloads to judge']
  const [grown, reloads] = [last.heapBytes - first.heapBytes, last.reloads - first.reloads]
  console.log(`  heap of the last half: ${Math.round(grown / reloads)} bytes a reload`)
  if (grown > CODE_BYTES + LEAK_BYTES * reloads) found.push('the heap of the master grows')
  return found
}

function show({ reloads, heapBytes, rssBytes, descriptors, worker }: Row): void {
  const cells = [String(reloads), megabytes(heapBytes), megabytes(rssBytes), String(descriptors)]
  const more = worker ? [megabytes(worker.rssBytes), String(worker.descriptors)] : []
  console.log([...cells, ...more].map((cell) => cell.padStart(13)).join(''))
}

function head(title: string, ...more: string[]): void {
  console.log(
    `${title}\n${['reloads', 'heap', 'resident', 'descriptors', ...more].map((word) => word.padStart(13)).join('')}`,
  )
}

async function reload(project: Project): Promise<void> {
  const { result, error } = await reloadOnce(project)
  if (result !== 'done') throw new Error(`a reload came to ${result}: ${error?.message}`)
}

async function empty(project: Project, reloads: number): Promise<string[]> {
  head(`${reloads} reloads of an empty worker`)
  const { pid } = await startMeasured(project)
  const rows: Row[] = []
  for (let count = 1; count <= reloads; count++) {
    await reload(project)
    if (count % Math.max(1, Math.round(reloads / ROWS)) !== 0) continue
    const row = await look(project, pid, null)
    rows.push(row)
    show(row)
  }
  return judge(rows)
}

async function steady(project: Project, minutes: number): Promise<string[]> {
  head(`${minutes} minutes of load, a reload each ${RELOAD_EVERY_MS / 1_000} s`, 'worker', 'descriptors')
  const { pid } = await startMeasured(project)
  const [keptPid = 0] = await project.pids('kept')
  const [web, kept] = [await project.port(), await project.port('kept')]
  const endsAt = performance.now() + minutes * 60_000
  const options = { clients: 10, pauseMs: [5, 25] as [number, number], slowShare: 0.01, maxMs: 48 * 3_600_000 }
  const loads = [web, kept].map((port) => new Load({ ...options, target: { port } }))
  const rows: Row[] = []
  const every = Math.max(1, Math.round((minutes * 60_000) / RELOAD_EVERY_MS / ROWS))
  for (let count = 1; performance.now() < endsAt; count++) {
    const startedAt = performance.now()
    await reload(project)
    if (count % every === 0) {
      const row = await look(project, pid, keptPid)
      rows.push(row)
      show(row)
    }
    await delay(Math.max(0, RELOAD_EVERY_MS - (performance.now() - startedAt)))
  }
  const results = await Promise.all(loads.map((load) => load.stop()))
  const [answered, failed] = [sum(results.map((one) => one.counts.answered)), sum(results.map((one) => one.failed))]
  console.log(`  failed ${failed} of ${answered + failed} requests`)
  return [...judge(rows), ...memory(rows), ...results.flatMap((result) => result.errors)]
}

/** Garbage of a worker is collected when its engine likes: the medians of two quarters, and room for one of its steps. */
function memory(rows: readonly Row[]): string[] {
  const late = rows.slice(Math.ceil(rows.length / 2)).map((row) => row.worker?.rssBytes ?? 0)
  const [before, after] = [late.slice(0, late.length / 2), late.slice(late.length / 2)].map(median)
  return (after ?? 0) > 1.25 * (before ?? 0) ? ['the memory of the worker grows'] : []
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** In a project of its own, of which nothing is left. */
async function inProject(files: Record<string, string>, soak: (project: Project) => Promise<string[]>): Promise<void> {
  const project = new Project(files)
  try {
    for (const line of await soak(project)) {
      console.log(`  broken: ${line}`)
      process.exitCode = 1
    }
  } finally {
    await project.end()
  }
  rmSync(project.root, { recursive: true, force: true })
}

const [reloads, minutes] = [Number(values.reloads), Number(values.minutes)]
if (reloads > 0) await inProject({ 'start.js': emptyStart() }, (project) => empty(project, reloads))
if (minutes > 0)
  await inProject({ 'start.js': STEADY_START, 'app.js': app('1') }, (project) => steady(project, minutes))
