/**
 * Notices that the code has changed: one call for each burst of changes, with the names of the files.
 * Opened by the master's main when it is to watch. The operating system says where something may have
 * happened; `tree` finds out what. Whatever fails here is a warning: a master that cannot watch
 * serves on, and looks at its files once a second instead.
 */
import { realpath } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname } from 'node:path'
import { performance } from 'node:perf_hooks'
import { systemCode } from '../../errors.ts'
import { Burst } from './burst.ts'
import { limitOf } from './limits.ts'
import { lstatOrNull, WatchedRoot } from './root.ts'
import { defaultRoot, namedRoots, nameFiles, rulesFor, type WatchRoot } from './rules.ts'

export interface WatchOptions {
  startFile: string
  /** Files and directories, relative to the start file's; none: the project's code. */
  paths: readonly string[]
  /** The runtime's own files, which are never a change. */
  stateDir: string
  logs: readonly string[]
  /** Called once a burst. @param files `src/app.ts and 4 more` */
  onChange: (files: string) => void
  /** Called once for each thing that is wrong. */
  onWarning: (text: string) => void
}

export interface Watch {
  close(): void
}

/** A save is several events within a few milliseconds; a checkout or a build goes on for a while. */
const BURST = { quietMs: 50, maxMs: 2_000 }
/** Between two looks where the system does not say what happens, and at least so many times what a look takes. */
const POLL_MS = 1_000
const POLL_SHARE = 10

/** Resolves when every file was looked at: what changes from now on is noticed. */
export async function openWatch(options: WatchOptions): Promise<Watch> {
  const watch = new FileWatch(options)
  await watch.open()
  return watch
}

class FileWatch implements Watch {
  readonly #options: WatchOptions
  readonly #burst = new Burst(BURST)
  readonly #warned = new Set<string>()
  readonly #roots: WatchedRoot[] = []
  #timer: NodeJS.Timeout | null = null
  #isLooking = false
  #isPolling = false
  #isClosed = false

  constructor(options: WatchOptions) {
    this.#options = options
  }

  async open(): Promise<void> {
    const { startFile, paths } = this.#options
    const look = { isFile: (path: string) => lstatOrNull(path)?.isFile() === true, home: homedir() }
    const roots = paths.length > 0 ? namedRoots(paths, startFile) : [defaultRoot(startFile, look)]
    await Promise.all(roots.map((root) => this.#openRoot(root)))
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer) clearTimeout(this.#timer)
    for (const root of this.#roots) root.close()
  }

  async #openRoot(root: WatchRoot): Promise<void> {
    const { stateDir, logs } = this.#options
    const files = await Promise.all([realPathOf(root.path), realPathOf(stateDir), ...logs.map(realPathOf)])
    const [realRoot, realStateDir, ...realLogs] = files
    const own = { directories: [stateDir, realStateDir], logs: [...logs, ...realLogs] }
    const watched = new WatchedRoot(root, rulesFor(root, { realRoot, ...own }), {
      wake: () => this.#wake(),
      fail: (error) => this.#fail(error),
    })
    this.#roots.push(watched)
    if (lstatOrNull(root.path) === null) this.#warn(`${root.path} is to be watched and does not exist yet`)
    await watched.open()
  }

  #wake(): void {
    if (this.#isClosed) return
    this.#burst.note(performance.now())
    this.#setTimer()
  }

  #setTimer(): void {
    if (this.#isClosed || this.#isLooking) return
    if (this.#timer) clearTimeout(this.#timer)
    const { dueAt } = this.#burst
    this.#timer = dueAt === null ? null : setTimeout(() => this.#onTimer(), Math.max(1, dueAt - performance.now()))
  }

  #onTimer(): void {
    if (this.#burst.take(performance.now())) void this.#look()
    else this.#setTimer()
  }

  /** Events that come meanwhile begin the next burst. */
  async #look(): Promise<void> {
    this.#isLooking = true
    try {
      const changed = (await Promise.all(this.#roots.map((root) => root.look()))).flat()
      if (changed.length > 0 && !this.#isClosed)
        this.#options.onChange(nameFiles(changed, dirname(this.#options.startFile)))
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isLooking = false
      this.#setTimer()
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return
    const limit = limitOf(error)
    if (limit === null) {
      this.#warn(`watch: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    if (this.#isPolling) return
    this.#isPolling = true
    this.#warn(`watch: ${systemCode(error)}, ${limit}. Until then the files are looked at once a second.`)
    for (const root of this.#roots) root.close()
    void this.#poll()
  }

  async #poll(): Promise<void> {
    let tookMs = 0
    while (!this.#isClosed) {
      await pause(Math.max(POLL_MS, tookMs * POLL_SHARE))
      const startedAt = performance.now()
      for (const root of this.#roots) root.lookAtAll()
      if (!this.#isClosed && !this.#isLooking) await this.#look()
      tookMs = performance.now() - startedAt
    }
  }

  #warn(text: string): void {
    if (this.#warned.has(text)) return
    this.#warned.add(text)
    this.#options.onWarning(text)
  }
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    // what is not there leads nowhere
    return path
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref())
}
