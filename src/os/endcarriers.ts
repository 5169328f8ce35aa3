/**
 * Ends what a worker has left behind: every process that carries its mark, SIGTERM first, SIGKILL when
 * it is still there after a second, and whatever those started meanwhile, until none is found. Used by
 * the master when a worker is dead, and by a worker that has lost its master. Linux only.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Carrier, carriersOf, verify } from './environ.ts'
import { isAlive, type ProcessId, signal, titleOf } from './processes.ts'

/** A process that was ended. */
export interface Ended extends ProcessId {
  title: string
  /** It did not leave on SIGTERM. */
  killed: boolean
  /** It is still there: it hangs in the kernel. */
  isLeft: boolean
}

/** Between SIGTERM and SIGKILL. */
const KILL_AFTER_MS = 1_000
/** A process that does not leave even then is named, and left. */
const GIVE_UP_AFTER_MS = 5_000
const LOOK_MS = 10

/**
 * Whole looks at the process table, shared: any number of workers that die together cost two.
 * A look that is under way may have passed a process already, so who comes then waits for the next one.
 */
export class Looks {
  readonly #look: () => Promise<Carrier[]>
  #running: Promise<unknown> | null = null
  #next: Promise<Carrier[]> | null = null

  constructor(name: string, look = (): Promise<Carrier[]> => carriersOf(name)) {
    this.#look = look
  }

  take(): Promise<Carrier[]> {
    this.#next ??= this.#follow(this.#running)
    return this.#next
  }

  async #follow(before: Promise<unknown> | null): Promise<Carrier[]> {
    await Promise.allSettled([before])
    const look = this.#look()
    this.#running = look
    this.#next = null
    const carriers = await look
    if (this.#running === look) this.#running = null
    return carriers
  }
}

/** @returns what was ended, in the order in which it was found; empty when nothing carried the mark. */
export async function endCarriers(mark: string, looks: Looks): Promise<Ended[]> {
  const startedAt = performance.now()
  const ended = new Map<string, Ended>()
  for (;;) {
    const found = (await looks.take()).filter(({ value }) => value === mark).flatMap((carrier) => verify(carrier) ?? [])
    const elapsedMs = performance.now() - startedAt
    const isLost = elapsedMs >= GIVE_UP_AFTER_MS
    for (const row of ended.values()) row.isLeft = isLost && isAlive(row)
    if (found.length === 0 || isLost) return [...ended.values()]
    const isDue = elapsedMs >= KILL_AFTER_MS
    for (const id of found) end(id, ended, isDue)
    await untilGone(found, isDue ? KILL_AFTER_MS : KILL_AFTER_MS - elapsedMs)
  }
}

function end(id: ProcessId, ended: Map<string, Ended>, isDue: boolean): void {
  const key = `${id.pid} ${id.startTime}`
  const row = ended.get(key) ?? { ...id, title: titleOf(id.pid), killed: false, isLeft: false }
  if (!ended.has(key)) signal(id, 'SIGTERM')
  if (isDue) row.killed = signal(id, 'SIGKILL') || row.killed
  ended.set(key, row)
}

async function untilGone(ids: readonly ProcessId[], timeoutMs: number): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs
  while (performance.now() < giveUpAt && ids.some(isAlive)) await delay(LOOK_MS)
}

const MAX_NAMED = 5
const MAX_TITLE_CHARS = 60

/** `pid 4711 (sleep 1000), pid 4712 (ffmpeg -i …)`, at most five of them named. */
export function endedText(ended: readonly Ended[]): string {
  const named = ended.slice(0, MAX_NAMED).map(({ pid, title, killed, isLeft }) => {
    const short = title.length > MAX_TITLE_CHARS ? `${title.slice(0, MAX_TITLE_CHARS - 1)}…` : title
    return `pid ${pid} (${short})${isLeft ? ' is still there' : killed ? ' with SIGKILL' : ''}`
  })
  const more = ended.length - named.length
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ')
}
