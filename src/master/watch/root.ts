/**
 * One path that is watched: what the system tells of it, and what was seen of it. Made by `watch`, which
 * decides when to look. The only file that knows chokidar, loaded when the first root is opened.
 */
import { type FSWatcher, lstatSync, type Stats, watch as watchDirectory } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { FSWatcher as Chokidar } from 'chokidar'
import { debug } from '../../log.ts'
import { limitOf } from './limits.ts'
import type { WatchRoot, WatchRules } from './rules.ts'
import { anchorsOf, WatchTree } from './tree.ts'

/** A new directory is watched a moment after it was seen: what came in between is found by then. */
const SECOND_LOOK_MS = 1_000

export interface RootHandlers {
  /** There is something to look at. */
  wake: () => void
  fail: (error: unknown) => void
}

/** One path: what the system watches for it, and what was seen of it. */
export class WatchedRoot {
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
      if (limitOf(error) === null) debug('watch of %s: %s', directory, error)
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

export function lstatOrNull(path: string): Stats | null {
  try {
    return lstatSync(path)
  } catch {
    // it is not there, or is not ours to see
    return null
  }
}
