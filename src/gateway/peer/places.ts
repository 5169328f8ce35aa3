/** Where the sockets of gateways are: one file for each, named by its gateway, in the link directories. */
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ShiftworkError } from '../../index.ts'

const STATE_FOLDER = '.shiftwork'
const LINKS = 'links'
const SUFFIX = '.sock'
/** File systems tell times in steps: what was changed so recently may have been changed again unseen. */
const BLUR_MS = 20
/** So long may pass from when a socket is there until somebody listens, on a machine with much to do. */
const YOUNG_MS = 2_000

/** Where the gateways of this state directory put their sockets. */
export function linkDirOf(stateDir: string): string {
  return join(stateDir, LINKS)
}

/** For this user alone. @throws ShiftworkError `ERR_STATE_DIR` */
export function makeLinkDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    const message = `Cannot make the directory ${path}, where gateways and business workers meet`
    const hint = 'Give all of them a linkDir that their user may write to.'
    throw new ShiftworkError('ERR_STATE_DIR', message, { hint, cause: error })
  }
}

export class Places {
  readonly #root: { linkDir: string } | { stateDir: string }
  #seen: string | null = null

  /** @param root one link directory, or a state directory: then those of its neighbours count, too. */
  constructor(root: { linkDir: string } | { stateDir: string }) {
    this.#root = root
  }

  /** Makes our own link directory, if it is not there: it can be watched from now on. */
  prepare(): void {
    makeLinkDir(this.#own)
  }

  /** The directories with sockets in them, and those in which such a directory may appear. @throws as `list`. */
  directories(): { linkDirs: string[]; parents: string[] } {
    if ('linkDir' in this.#root) return { linkDirs: [this.#root.linkDir], parents: [] }
    const { stateDir } = this.#root
    const folder = dirname(stateDir)
    if (basename(folder) !== STATE_FOLDER) return { linkDirs: [linkDirOf(stateDir)], parents: [stateDir] }
    const stateDirs = namesIn(folder).map((name) => join(folder, name))
    return { linkDirs: stateDirs.map(linkDirOf), parents: [folder, ...stateDirs] }
  }

  /** Where is looked, for people: our own link directory, and those of our neighbours. */
  get shown(): string {
    try {
      return [...new Set([this.#own, ...this.directories().linkDirs])].join(', ')
    } catch {
      // nothing can be seen now
      return this.#own
    }
  }

  get #own(): string {
    return 'linkDir' in this.#root ? this.#root.linkDir : linkDirOf(this.#root.stateDir)
  }

  /** No gateway has ever been where is looked: it is the wrong place, or none was started yet. */
  get isNowhere(): boolean {
    try {
      return this.directories().linkDirs.every((path) => changedAt(path) === 0) && this.forbidden.length === 0
    } catch {
      // it cannot be told
      return false
    }
  }

  /** Directories that are another user's: there may be gateways, which are not for us. */
  get forbidden(): string[] {
    try {
      const { linkDirs, parents } = this.directories()
      return [...parents, ...linkDirs].filter(isForbidden)
    } catch {
      // nothing can be seen now, and `list` says so
      return []
    }
  }

  /** Something may be there that was not at the last `list`. */
  get hasChanged(): boolean {
    try {
      return this.#seen === null || this.#state() !== this.#seen
    } catch {
      // it cannot be told
      return true
    }
  }

  /** Nobody listens at this socket yet: it is so young that somebody may be about to. */
  isYoung(path: string): boolean {
    return Date.now() - changedAt(path) < YOUNG_MS
  }

  /** What was seen is not all: something has changed, whatever the directories say. */
  doubt(): void {
    this.#seen = null
  }

  /**
   * The path of each gateway's socket, whether somebody listens or not.
   * @throws the system's error when that cannot be told, for want of descriptors for one.
   */
  list(): Map<string, string> {
    // before it is read: what comes meanwhile is seen again
    this.#seen = this.#state()
    const found = new Map<string, string>()
    for (const linkDir of this.directories().linkDirs)
      for (const name of namesIn(linkDir))
        if (name.endsWith(SUFFIX)) found.set(name.slice(0, -SUFFIX.length), join(linkDir, name))
    return found
  }

  /** When each directory was changed; null: one was just now. */
  #state(): string | null {
    const { linkDirs, parents } = this.directories()
    const times = [...parents, ...linkDirs].map(changedAt)
    if (times.some((at) => Math.abs(Date.now() - at) < BLUR_MS)) return null
    return times.join()
  }
}

/** Whether something is there that this user may not see. */
function isForbidden(directory: string): boolean {
  try {
    readdirSync(directory)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES'
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    // nobody has made it, or it is not ours to see
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

/** 0: it is not there. */
function changedAt(path: string): number {
  try {
    return statSync(path).mtimeMs
  } catch {
    // nobody has made it yet
    return 0
  }
}
