/**
 * What a master holds after many reloads: descriptors by the kernel's count, and its heap after garbage
 * was collected, less the code in it: the engine compiles what has run often, for hundreds of reloads
 * (Node 24 more than Node 20), and that is no leak. The heap is told by a hook of the start file, which
 * runs in the master: `onMasterReload`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask } from '../../src/cli/client.ts'
import type { ReloadSummary } from '../../src/ipc/status.ts'
import { stateDirAt } from '../../src/os/statedir.ts'
import { conversations } from './fleets.ts'
import { until } from './processes.ts'
import type { Project, Running } from './project.ts'

const HEAP_FILE = 'heap.log'

/**
 * The end of a start file whose master collects its garbage after each reload and notes what is left.
 * @param leakBytes what it keeps at each reload: for the proof that a leak of this size is seen.
 */
export function heapWitness(leakBytes = 0): string {
  return `
import { appendFileSync } from 'node:fs'
import { getHeapCodeStatistics } from 'node:v8'
const kept = []
Worker.onMasterReload = () => {
  if (${leakBytes} > 0) kept.push(Array.from({ length: ${leakBytes} / 8 }, (_, index) => index + 0.5))
  gc()
  const bytes = process.memoryUsage().heapUsed - getHeapCodeStatistics().code_and_metadata_size
  appendFileSync('${HEAP_FILE}', bytes + '\\n')
}
`
}

/** A start file with one worker that does nothing. */
export function emptyStart(leakBytes = 0): string {
  return `
import { Worker } from 'shiftwork'
${heapWitness(leakBytes)}
new Worker({ name: 'empty', bakeMs: 0 })
Worker.runAll()
`
}

/** In the foreground, so that the master is what was launched. */
export async function startMeasured(project: Project): Promise<Running> {
  const running = project.launch(process.execPath, ['--expose-gc', project.startFile, 'start'])
  await running.line(/^ready in /m)
  return running
}

/** Asks without a process of its own: as many reloads in a short time as can be had. */
export async function reloadOnce(project: Project): Promise<ReloadSummary> {
  const reply = await ask(stateDirAt(project.stateDir), {
    command: 'reload',
    groups: [],
    graceful: false,
    timeoutMs: null,
    strategy: 'rolling',
    surge: null,
    wait: 'done',
    force: false,
  })
  if (reply.type !== 'reload') throw new Error(`a reload was answered with ${JSON.stringify(reply)}`)
  return reply.reload
}

/** What the master's heap held after each reload, without code, in bytes. */
export function heaps(project: Project): number[] {
  const path = join(project.dir, HEAP_FILE)
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').map(Number) : []
}

const ROUNDS = 4

/**
 * How many descriptors a process holds at rest, the fewest of some rounds: the channel of the last worker is closed
 * late, and so is the connection of the last command.
 * @param project whose master it is: it answers before each round, so that it has had its turn.
 */
export async function descriptorsOf(pid: number, project: Project | null = null): Promise<number> {
  const counts: number[] = []
  while (counts.length < ROUNDS) {
    if (project) await talkedWith(project)
    counts.push(await countAtRest(pid))
  }
  return Math.min(...counts)
}

/** It has answered, and has heard that its answer was taken. */
async function talkedWith(project: Project): Promise<void> {
  await project.status()
  await until('nobody talks with it', () => conversations(project) === 0)
}

/** When it stands still. */
async function countAtRest(pid: number): Promise<number> {
  let count = 0
  let same = 0
  await until('the count stands still', async () => {
    await new Promise((resolve) => setTimeout(resolve, 10))
    const now = readdirSync(`/proc/${pid}/fd`).length
    same = now === count ? same + 1 : 0
    count = now
    return same >= 5
  })
  return count
}
