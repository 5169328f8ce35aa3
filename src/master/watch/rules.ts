/**
 * Which files matter to a watch: where it looks when nobody says where, what counts as code, and what
 * never counts because the runtime, a package manager, git or an editor writes it. Pure.
 */
import { basename, dirname, extname, join, relative, resolve, sep } from 'node:path'

/** A file or directory that is watched. */
export interface WatchRoot {
  /** Absolute, symlinks unresolved. */
  readonly path: string
  /** The user named it: every file in it counts. Else code and configuration only. */
  readonly isWhole: boolean
}

/** A path below a root, and whether it is a directory where that is known. */
export interface Candidate {
  readonly path: string
  readonly isDirectory: boolean
}

export interface WatchRules {
  /** Nothing at this path, or below it, can ever be a change. */
  isIgnored(path: string): boolean
  /** A file with this path is one, when it is written. */
  isWanted(path: string): boolean
}

const CODE = new Set('.ts .mts .cts .tsx .js .mjs .cjs .jsx .json .node .wasm'.split(' '))
const TYPES_ONLY = /\.d\.[cm]?ts$/

/** Written by tools, in any directory. */
const TOOL_DIRECTORIES = new Set(['node_modules', '.git', '.hg', '.svn', '.shiftwork'])

/** What editors write beside the file that they save. */
const EDITOR_FILES = [
  // vim asks whether it can write here, and keeps its swap files
  /^4913$/,
  /\.sw[a-z]$/,
  // emacs: a lock, an auto-save; many: a backup
  /^\.#/,
  /^#.*#$/,
  /~$/,
  // JetBrains, gedit, Sublime Text, Kate, LibreOffice, NFS, macOS
  /___jb_(?:tmp|old|bak)___/,
  /^\.goutputstream-/,
  /^\.subl.*\.tmp$/,
  /\.kate-swp$/,
  /^\.~lock\./,
  /^\.nfs[0-9a-f]+$/,
  /^\.DS_Store$/,
  /\.tmp$/,
]

/**
 * Where a watch looks by default: the directory of the nearest package.json, and the start file's own
 * where there is none. One in the home directory or at the root of the disk is nobody's project.
 */
export function defaultRoot(startFile: string, look: { isFile(path: string): boolean; home: string }): WatchRoot {
  const own = dirname(startFile)
  for (let path = own; ; path = dirname(path)) {
    const isTooFar = path !== own && (path === look.home || dirname(path) === path)
    if (isTooFar || basename(path) === 'node_modules') break
    if (look.isFile(join(path, 'package.json'))) return { path, isWhole: false }
    if (dirname(path) === path) break
  }
  return { path: own, isWhole: false }
}

/** The paths that the user named, relative to the start file's directory. */
export function namedRoots(paths: readonly string[], startFile: string): WatchRoot[] {
  const resolved = paths.map((path) => resolve(dirname(startFile), path))
  return [...new Set(resolved)].map((path) => ({ path, isWhole: true }))
}

/**
 * @param own the runtime's files: its state directory, and logs with what logrotate makes of them.
 * Real paths: a root that is reached through a symlink is compared by `realRoot`.
 */
export function rulesFor(
  root: WatchRoot,
  own: { realRoot: string; directories: readonly string[]; logs: readonly string[] },
): WatchRules {
  const isOwn = (path: string): boolean =>
    own.directories.some((directory) => isWithin(path, directory)) ||
    own.logs.some((log) => path === log || path.startsWith(`${log}.`) || path.startsWith(`${log}-`))
  const isIgnored = (path: string): boolean => {
    if (isOwn(path) || isOwn(own.realRoot + path.slice(root.path.length))) return true
    const names = path === root.path ? [] : relative(root.path, path).split(sep)
    // what was named itself is watched, wherever it is
    return names.some((name, index) => isIgnoredName(name, { root, isLast: index === names.length - 1 }))
  }
  return { isIgnored, isWanted: (path) => !isIgnored(path) && (root.isWhole || isCode(basename(path))) }
}

function isIgnoredName(name: string, { root, isLast }: { root: WatchRoot; isLast: boolean }): boolean {
  if (TOOL_DIRECTORIES.has(name) || EDITOR_FILES.some((pattern) => pattern.test(name))) return true
  // an editor's or a tool's settings and caches; "..data" is how Kubernetes mounts files
  return !root.isWhole && !isLast && name.startsWith('.') && !name.startsWith('..')
}

/** Code and configuration: what a new process may read otherwise than the one before it. */
export function isCode(name: string): boolean {
  if (name === '.env' || name.startsWith('.env.')) return true
  return CODE.has(extname(name)) && !TYPES_ONLY.test(name)
}

/** True for the directory itself and everything in it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep)
}

/** `src/app.ts`, `src/app.ts and 4 more`: the first by name, as seen from the start file's directory. */
export function nameFiles(paths: readonly string[], from: string): string {
  const [first = '', ...more] = [...new Set(paths)].sort()
  const name = relative(from, first)
  const shown = name === '' || name.startsWith(`..${sep}..`) ? first : name
  return more.length === 0 ? shown : `${shown} and ${more.length} more`
}
