/**
 * What the files below a watched path looked like when they were last looked at. The watcher says
 * where something may have happened; what has changed is found here, by comparing. So an event that
 * comes twice, late, for a file that is gone again or for one that nobody has changed does no harm,
 * and one that is swallowed is made up for by the next look at its directory. Reads, never writes.
 */
import type { Stats } from 'node:fs'
import { lstat, readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isWithin, type WatchRules } from './rules.ts'

export interface Difference {
  /** Files that are new, written or gone. */
  changed: string[]
  /** Directories that were not there before. */
  fresh: string[]
  /** A symlink is new, or leads elsewhere, or a directory is another one: what watches where it was watches in vain. */
  isRelinked: boolean
}

/** How a file looked: any other text is a change. Of a directory, which one it is, or how it is reached. */
type Look = string
const DIRECTORY = 'directory '
/** Behind the number of a directory, which may be the next one's as soon as it is free: when it was made. */
const BORN = ' born '
const LINK = 'link to '
const FILE_LINK = 'file, linked: '

export class WatchTree {
  readonly #root: string
  readonly #rules: WatchRules
  /** What each directory holds, by path. A root that is a file stands for itself. */
  readonly #known = new Map<string, Map<string, Look>>()

  constructor(root: string, rules: WatchRules) {
    this.#root = root
    this.#rules = rules
  }

  /** True for a directory that was there at the last look. */
  hasDirectory(path: string): boolean {
    return this.#known.has(path)
  }

  /** The directory, if it is known, and all that are known below it. */
  below(directory: string): string[] {
    return [...this.#known.keys()].filter((path) => isWithin(path, directory))
  }

  /** True for what may be watched through a symlink; of one that is not known yet the next look will tell. */
  hasLink(path: string): boolean {
    return isLinkLook(this.#known.get(dirname(path))?.get(path) ?? '')
  }

  /** Looks at everything. */
  async compareAll(): Promise<Difference> {
    return this.compare([this.#root, ...this.#known.keys()])
  }

  /** Looks at these directories, as far as they are known, and at whatever is new in them. */
  async compare(directories: Iterable<string>): Promise<Difference> {
    const difference: Difference = { changed: [], fresh: [], isRelinked: false }
    for (const directory of new Set(directories))
      if (directory === this.#root || this.#known.has(directory)) await this.#compareOne(directory, difference)
    return difference
  }

  async #compareOne(directory: string, difference: Difference): Promise<void> {
    const before = this.#known.get(directory) ?? new Map<string, Look>()
    const after = await this.#read(directory)
    this.#known.set(directory, after)
    for (const [path, look] of before) {
      const now = after.get(path)
      if (now === look) continue
      if (!isDirectoryLook(look)) {
        if (now === undefined) difference.changed.push(path)
      } else if (!hasSameNumber(look, now)) this.#forget(path, difference)
    }
    for (const [path, look] of after) {
      const then = before.get(path)
      if (then === look) continue
      if (hasSameNumber(look, then) && !(await tellsBirths(directory))) continue
      if (look.startsWith(LINK) || (look.startsWith(FILE_LINK) && then === undefined)) difference.isRelinked = true
      // deleted and made again, or exchanged, before the system has told of it
      if (look.startsWith(DIRECTORY) && then?.startsWith(DIRECTORY)) difference.isRelinked = true
      if (!isDirectoryLook(look)) {
        difference.changed.push(path)
        continue
      }
      difference.fresh.push(path)
      await this.#compareOne(path, difference)
    }
  }

  #forget(directory: string, difference: Difference): void {
    const entries = this.#known.get(directory)
    this.#known.delete(directory)
    for (const [path, look] of entries ?? []) {
      if (isDirectoryLook(look)) this.#forget(path, difference)
      else difference.changed.push(path)
    }
  }

  async #read(directory: string): Promise<Map<string, Look>> {
    const found = new Map<string, Look>()
    try {
      const entries = await readdir(directory, { withFileTypes: true })
      const paths = entries.filter((entry) => entry.isDirectory() || entry.isFile() || entry.isSymbolicLink())
      const looks = await Promise.all(
        paths.map(async (entry): Promise<[string, Look | null]> => {
          const path = join(directory, entry.name)
          if (entry.isDirectory()) return [path, await this.#lookAtDirectory(path)]
          return [path, entry.isFile() ? await this.#lookAtFile(path) : await this.#lookAtLink(path)]
        }),
      )
      for (const [path, look] of looks) if (look !== null) found.set(path, look)
    } catch {
      // a root that is a file; one that is gone, or not ours to read, holds nothing
      const look = directory === this.#root ? await this.#lookAtFile(directory) : null
      if (look !== null) found.set(directory, look)
    }
    return found
  }

  async #lookAtDirectory(path: string): Promise<Look | null> {
    if (this.#rules.isIgnored(path)) return null
    const stats = await statOf(path)
    return stats?.isDirectory() ? `${DIRECTORY}${stats.dev} ${stats.ino}${BORN}${stats.birthtimeMs}` : null
  }

  async #lookAtFile(path: string): Promise<Look | null> {
    if (!this.#rules.isWanted(path)) return null
    const stats = await statOf(path)
    return stats?.isFile() ? lookOf(stats) : null
  }

  /** A link that leads back to where it was come from would lead round for ever. */
  async #lookAtLink(path: string): Promise<Look | null> {
    if (this.#rules.isIgnored(path)) return null
    const stats = await statOf(path)
    if (!stats?.isDirectory()) {
      const look = await this.#lookAtFile(path)
      return look === null ? null : FILE_LINK + look
    }
    const target = await realPathOf(path)
    return target === null || (await this.#leadsBack(target, dirname(path))) ? null : LINK + target
  }

  /** True where the target holds a directory that the way to the link has led through. */
  async #leadsBack(target: string, holder: string): Promise<boolean> {
    for (let directory = holder; isWithin(directory, this.#root); directory = dirname(directory)) {
      const real = await realPathOf(directory)
      if (real === null || isWithin(real, target)) return true
      if (directory === this.#root) break
    }
    return false
  }
}

async function realPathOf(path: string): Promise<string | null> {
  try {
    return await realpath(path)
  } catch {
    // gone meanwhile
    return null
  }
}

function isLinkLook(look: Look): boolean {
  return look.startsWith(LINK) || look.startsWith(FILE_LINK)
}

function isDirectoryLook(look: Look): boolean {
  return look.startsWith(DIRECTORY) || look.startsWith(LINK)
}

/** It is the same directory, or has the number of one that was deleted. */
function hasSameNumber(look: Look, other: Look | undefined): boolean {
  return look.startsWith(DIRECTORY) && look.split(BORN)[0] === other?.split(BORN)[0]
}

/**
 * Whether the system knows when directories were made. Where it does not, it may say instead when they have
 * changed last: as this one has, in which something was made anew.
 */
async function tellsBirths(directory: string): Promise<boolean> {
  const stats = await statOf(directory)
  return stats !== null && stats.birthtimeMs !== stats.ctimeMs
}

function lookOf({ ino, size, mtimeMs, mode }: Stats): Look {
  return `${ino} ${size} ${mtimeMs} ${mode}`
}

async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path)
  } catch {
    // gone meanwhile, or a link that leads nowhere
    return null
  }
}

/** The places where a path can be replaced as a whole: by whom it is found, and under which name. */
export async function anchorsOf(path: string): Promise<{ directory: string; name: string }[]> {
  const anchors: { directory: string; name: string }[] = []
  const parts = path.split('/').filter((part) => part !== '')
  let directory = '/'
  for (const [index, name] of parts.entries()) {
    const here = join(directory, name)
    const stats = await lstat(here).catch(() => null)
    if (!stats || stats.isSymbolicLink() || index === parts.length - 1) anchors.push({ directory, name })
    if (!stats) break
    directory = here
  }
  return anchors
}
