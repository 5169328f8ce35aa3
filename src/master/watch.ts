/**
 * Notices that the code has changed: one call for each burst of changes, with the names of the files.
 * Opened by the master's main when it is to watch. The operating system says where something may have
 * happened; `watch-tree` finds out what. Whatever fails here is a warning: a master that cannot watch
 * serves on, and looks at its files once a second instead.
 */
import { type FSWatcher, lstatSync, type Stats, watch as watchDirectory } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { FSWatcher as Chokidar } from 'chokidar'
import { systemCode } from '../errors.ts'
import { debug } from '../log.ts'
import { Burst } from './burst.ts'
import { defaultRoot, namedRoots, nameFiles, rulesFor, type WatchRoot, type WatchRules } from './watch-rules.ts'
import { anchorsOf, WatchTree } from './watch-tree.ts'

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
/** A new directory is watched a moment after it was seen: what came in between is found by then. */
const SECOND_LOOK_MS = 1_000

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
    const limit = LIMITS[systemCode(error) ?? '']
    if (limit === undefined) {
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

/** What to do when the system gives no more watches (inotify(7)). */
const LIMITS: Record<string, string | undefined> = {
  ENOSPC: 'too many watched files: raise the limit (sysctl fs.inotify.max_user_watches=524288)',
  EMFILE: 'too many watching programs: raise the limit (sysctl fs.inotify.max_user_instances=512, or ulimit -n)',
  ENFILE: 'the system has too many open files: raise the limit (sysctl fs.file-max)',
}

interface RootHandlers {
  /** There is something to look at. */
  wake: () => void
  fail: (error: unknown) => void
}

/** One path: what the system watches for it, and what was seen of it. */
class WatchedRoot {
  readonly #root: WatchRoot
  readonly #rules: WatchRules
  readonly #tree: WatchTree
  readonly #handlers: RootHandlers
  readonly #dirty = new Set<string>()
  readonly #secondLooks = new Set<NodeJS.Timeout>()
  #scope: 'dirty' | 'all' | 'reopen' = 'dirty'
  #watcher: Chokidar | null = null
  #anchors: FSWatcher[] = []
  #isClosed = false

  constructor(root: WatchRoot, rules: WatchRules, handlers: RootHandlers) {
    this.#root = root
    this.#rules = rules
    this.#tree = new WatchTree(root.path, rules)
    this.#handlers = handlers
  }

  /** What changes until the system's watches stand is found by the look that follows them. */
  async open(): Promise<void> {
    await this.#tree.compareAll()
    this.#startWatching().catch(this.#handlers.fail)
  }

  /** What is there was seen; what happens from now on is not told any more. */
  close(): void {
    this.#isClosed = true
    this.#stopWatching()
    for (const timer of this.#secondLooks) clearTimeout(timer)
  }

  lookAtAll(): void {
    if (this.#scope === 'dirty') this.#scope = 'all'
  }

  /** @returns the files that changed since the last look. */
  async look(): Promise<string[]> {
    const scope = this.#scope
    const dirty = [...this.#dirty]
    this.#scope = 'dirty'
    this.#dirty.clear()
    if (scope === 'reopen' && !this.#isClosed) await this.#startWatching()
    const { changed, fresh, isRelinked } = await (scope === 'dirty'
      ? this.#tree.compare(dirty)
      : this.#tree.compareAll())
    if (isRelinked) this.#reopen()
    if (fresh.length > 0) this.#lookAgainAt(fresh)
    return changed
  }

  #lookAgainAt(directories: readonly string[]): void {
    if (this.#isClosed) return
    const timer = setTimeout(() => {
      this.#secondLooks.delete(timer)
      for (const directory of directories) this.#dirty.add(directory)
      this.#handlers.wake()
    }, SECOND_LOOK_MS)
    this.#secondLooks.add(timer)
  }

  // ---- what the system watches ---------------------------------------------------------------------------------------

  #reopen(): void {
    this.#scope = 'reopen'
    this.#handlers.wake()
  }

  async #startWatching(): Promise<void> {
    const [{ watch }, anchors] = await Promise.all([import('chokidar'), anchorsOf(this.#root.path)])
    this.#stopWatching()
    if (this.#isClosed) return
    for (const anchor of anchors) this.#watchAnchor(anchor)
    // one that is not there yet is told of by its anchor
    if (lstatOrNull(this.#root.path) === null) return
    const watcher = watch(this.#root.path, {
      ignoreInitial: true,
      ignorePermissionErrors: true,
      // it would tell of a deleted file 100 ms later
      atomic: false,
      ignored: (path, stats) => {
        if (this.#rules.isIgnored(path)) return true
        if (stats?.isSymbolicLink()) return !this.#tree.hasLink(path)
        return stats?.isFile() === true && !this.#rules.isWanted(path)
      },
    })
    watcher.on('all', (event, path) => this.#onEvent(path, event.endsWith('Dir') ? 'rename' : 'change'))
    // what the system says, before chokidar leaves anything out
    watcher.on('raw', (event, name, details) =>
      this.#onEvent(rawPath(name, (details as { watchedPath?: string }).watchedPath), event),
    )
    watcher.on('error', (error) => this.#handlers.fail(error))
    watcher.on('ready', () => {
      this.lookAtAll()
      this.#handlers.wake()
    })
    this.#watcher = watcher
  }

  #stopWatching(): void {
    for (const anchor of this.#anchors.splice(0)) anchor.close()
    const watcher = this.#watcher
    this.#watcher = null
    if (!watcher) return
    void watcher.close()
    // closing takes its listeners away, and an error that nobody listens to is thrown
    watcher.on('error', (error) => debug('watch, closing: %s', error))
  }

  /** Where the whole root can be replaced: a build that deletes its directory, a release's symlink. */
  #watchAnchor({ directory, name }: { directory: string; name: string }): void {
    try {
      const anchor = watchDirectory(directory, (event, changed) => {
        const isReplaced = changed === null || changed === name || changed === basename(directory)
        if (isReplaced && event === 'rename') this.#reopen()
        else if (changed === name) this.#onEvent(this.#root.path, 'change')
      })
      anchor.on('error', (error) => debug('watch of %s: %s', directory, error))
      this.#anchors.push(anchor)
    } catch (error) {
      // a directory above that is not ours to read is nothing to warn about
      if (LIMITS[systemCode(error) ?? ''] === undefined) debug('watch of %s: %s', directory, error)
      else this.#handlers.fail(error)
    }
  }

  /** @param event `rename`: something came or went under this name. */
  #onEvent(path: string, event: string): void {
    if (this.#isClosed || this.#rules.isIgnored(path)) return
    const isDirectory = this.#tree.hasDirectory(path)
    const isWanted = isDirectory || this.#rules.isWanted(path)
    if (!isWanted && (event === 'change' || !mayHoldFiles(path))) return
    this.#dirty.add(dirname(path))
    this.#dirty.add(path)
    if (isDirectory && event !== 'change') for (const below of this.#tree.below(path)) this.#dirty.add(below)
    this.#handlers.wake()
  }
}

function rawPath(name: string | null, watchedPath: string | undefined): string {
  if (watchedPath === undefined) return name ?? ''
  return name === null || name === basename(watchedPath) ? watchedPath : join(watchedPath, name)
}

/** A directory, or a link that may lead to one. */
function mayHoldFiles(path: string): boolean {
  const stats = lstatOrNull(path)
  return stats !== null && (stats.isDirectory() || stats.isSymbolicLink())
}

function lstatOrNull(path: string): Stats | null {
  try {
    return lstatSync(path)
  } catch {
    // it is not there, or is not ours to see
    return null
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
