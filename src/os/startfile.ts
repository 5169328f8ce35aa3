/**
 * The start file as the user named it, and what a new process needs to run it: the loader for
 * TypeScript, and paths that follow a `current` symlink to the next release.
 */
import { readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, isAbsolute, join, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ShiftworkError } from '../errors.ts'

/**
 * The absolute path of a start file, symlinks unresolved: also when the shell went into a release
 * directory through a link, which `process.cwd()` has forgotten and `$PWD` has not.
 */
export function absoluteStartFile(file: string, cwd: string, pwd: string | undefined): string {
  const path = resolve(cwd, file)
  if (pwd === undefined || !isAbsolute(pwd) || pwd === cwd || !path.startsWith(cwd + sep)) return path
  return isWayTo(pwd, cwd) ? join(pwd, path.slice(cwd.length)) : path
}

/** True where a shell that went to `pwd` is in `cwd` now, or was, before the link on its way was switched. */
export function isWayTo(pwd: string, cwd: string): boolean {
  if (realPathOf(pwd) === cwd) return true
  const link = sharedPrefix(pwd, realPathOf(pwd))
  const below = link ? pwd.slice(link.named.length) : ''
  return link !== null && cwd.endsWith(below) && isSamePackage(cwd.slice(0, cwd.length - below.length), link.real)
}

/** Two releases of one project: side by side, and of one name. A `$PWD` may also be left over from anywhere. */
function isSamePackage(one: string, other: string): boolean {
  const name = packageName(one)
  return dirname(one) === dirname(other) && name !== null && name === packageName(other)
}

function packageName(directory: string): string | null {
  try {
    const { name } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { name?: unknown }
    return typeof name === 'string' ? name : null
  } catch {
    // no package, or none that can be read
    return null
  }
}

const TYPESCRIPT = new Set(['.ts', '.mts', '.cts', '.tsx'])

/**
 * What must stand before a start file that is not running yet: a loader, when it is TypeScript that this Node.js
 * cannot read by itself. One that runs has proved that it can.
 * @param args as `loaderArgs` has made them.
 * @param nodeOptions `NODE_OPTIONS`.
 * @returns the name of the module; null: none is needed.
 * @throws ShiftworkError `ERR_START_FILE` when there is no tsx to be found beside the start file.
 */
export function missingLoader(startFile: string, args: readonly string[], nodeOptions = ''): string | null {
  const words = [...args, ...nodeOptions.split(/\s+/)]
  return !TYPESCRIPT.has(extname(startFile)) || hasTypeScript(words) ? null : tsxLoader(startFile, words)
}

function hasTypeScript(words: readonly string[]): boolean {
  const stripsTypes = 'typescript' in process.features && Boolean(process.features.typescript)
  return (
    stripsTypes || words.some((word) => /\b(tsx|ts-node|swc|esbuild|jiti)\b|strip-types|transform-types/.test(word))
  )
}

/** A loader of the user's own that we do not know may be one for TypeScript. */
function hasLoader(words: readonly string[]): boolean {
  return words.some((word) => /^(--import|--loader|--experimental-loader|--require|-r)(=|$)/.test(word))
}

function tsxLoader(startFile: string, words: readonly string[]): string | null {
  try {
    return pathToFileURL(createRequire(startFile).resolve('tsx')).href
  } catch (cause) {
    if (hasLoader(words)) return null
    throw new ShiftworkError('ERR_START_FILE', `Node.js ${process.version} cannot run ${startFile} by itself`, {
      hint: 'Install tsx (npm install --save-dev tsx), compile it to JavaScript, or use Node.js 22.18 or later.',
      cause,
    })
  }
}

/**
 * The `node` options that this process was started with, made fit for another working directory: `--import tsx` is
 * looked up from there. Looked up once, here, it holds everywhere.
 */
export function loaderArgs(execArgv: readonly string[], cwd: string): string[] {
  const args: string[] = []
  for (let index = 0; index < execArgv.length; index++) {
    const arg = execArgv[index] ?? ''
    const joined = /^(--import|--loader|--experimental-loader|--require)=(.*)$/.exec(arg)
    const takesNext = /^(--import|--loader|--experimental-loader|--require|-r)$/.test(arg)
    if (joined) args.push(joined[1] ?? '', absoluteModule(joined[1] ?? '', joined[2] ?? '', cwd))
    else if (takesNext) args.push(arg, absoluteModule(arg, execArgv[++index] ?? '', cwd))
    else args.push(arg)
  }
  return args
}

function absoluteModule(option: string, specifier: string, cwd: string): string {
  if (specifier.includes(':') || isAbsolute(specifier)) return specifier
  try {
    const path = createRequire(join(cwd, 'noop.js')).resolve(specifier)
    return option === '--require' || option === '-r' ? path : pathToFileURL(path).href
  } catch {
    // only an ESM condition may export it: node itself will look it up, and say so if it cannot
    return specifier
  }
}

/**
 * A path (or file URL) inside the release that the start file's symlink pointed to at start, named
 * through that symlink: at the next fork it leads into the release of that moment.
 */
export function throughLink(path: string, startFile: string): string {
  const isUrl = path.startsWith('file:')
  const real = isUrl ? fileURLToPath(path) : path
  const link = sharedPrefix(dirname(startFile), dirname(realPathOf(startFile)))
  if (!link || !(real === link.real || real.startsWith(link.real + sep))) return path
  const linked = link.named + real.slice(link.real.length)
  if (realPathOf(linked) !== realPathOf(real)) return path
  return isUrl ? pathToFileURL(linked).href : linked
}

/** The shortest directories that differ between a path and its real path, once equal tails are cut. */
function sharedPrefix(named: string, real: string): { named: string; real: string } | null {
  if (named === real) return null
  let [left, right] = [named, real]
  while (tail(left) === tail(right) && dirname(left) !== left) [left, right] = [dirname(left), dirname(right)]
  return left === right ? null : { named: left, real: right }
}

function tail(path: string): string {
  return path.slice(path.lastIndexOf(sep) + 1)
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // deleted meanwhile: nothing to follow
    return path
  }
}
