/**
 * Where a start file's master keeps its pid file, control socket and logs, and how every command
 * finds it again: from another directory, through a symlink, after a release was switched.
 */
import { accessSync, constants, existsSync, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, sep } from 'node:path'
import { ShiftworkError, systemCode } from '../errors.ts'
import { livingHolder } from './pidfile.ts'
import { absoluteStartFile } from './startfile.ts'

export interface StateDir {
  path: string
  pidFile: string
  controlSocket: string
  logFile: string
  /** Leads to the log when that is elsewhere, see `loglink`. */
  logLink: string
  stdoutFile: string
}

export function stateDirAt(path: string): StateDir {
  return {
    path,
    pidFile: join(path, 'master.pid'),
    controlSocket: join(path, 'control.sock'),
    logFile: join(path, 'shiftwork.log'),
    logLink: join(path, 'log'),
    stdoutFile: join(path, 'stdout.log'),
  }
}

/**
 * The places where the state of a start file may be, best first: beside the innermost symlink on its
 * path (a `current` that points to a release), beside the file as it was named, beside the real file.
 * @param startFile absolute, symlinks unresolved.
 */
export function stateDirCandidates(startFile: string): string[] {
  const places = [besideLink(startFile), besideFile(startFile), besideFile(realPath(startFile))]
  return [...new Set(places.filter((place) => place !== null))]
}

function besideFile(startFile: string): string {
  return join(dirname(startFile), '.shiftwork', basename(startFile))
}

/** `/srv/app/current/src/start.ts`, `current` being a link → `/srv/app/.shiftwork/current~src~start.ts`. */
function besideLink(startFile: string): string | null {
  const link = innermostLink(dirname(startFile))
  if (!link) return null
  const parent = dirname(link)
  return join(parent, '.shiftwork', relative(parent, startFile).split(sep).join('~'))
}

/** A link right below the root is the system's (`/tmp` on macOS, `/home` elsewhere), not a release. */
function innermostLink(directory: string): string | null {
  for (let path = directory; dirname(dirname(path)) !== dirname(path); path = dirname(path))
    if (isLink(path)) return path
  return null
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    // a path that does not exist is no link
    return false
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // a start file that was deleted: its name is all there is
    return path
  }
}

/** The directory that a running master of this start file uses, or where `start` would create it. */
export function findStateDir(startFile: string, chosen: string | null): StateDir {
  if (chosen !== null) return stateDirAt(chosen)
  const candidates = stateDirCandidates(startFile)
  // one that is stale says nothing: it may have been left in a release long ago
  const used = candidates.find(livesIn)
  const creatable = candidates.find(isCreatable)
  return stateDirAt(used ?? creatable ?? candidates[0] ?? besideFile(startFile))
}

/**
 * The directory in which the master of this start file keeps its state, or would, for programs that talk to a
 * fleet from outside. One that was chosen with `--state-dir`, or by `runAll({ stateDir })`, is not known here.
 * @param startFile relative to the working directory, or absolute; symlinks on its path mean what they mean to `start`.
 * @returns an absolute path; nothing need be there.
 * @throws ShiftworkError `ERR_OPTION` for what is no path.
 */
export function stateDirOf(startFile: string): string {
  if (typeof startFile !== 'string' || startFile === '')
    throw new ShiftworkError('ERR_OPTION', 'stateDirOf needs the path of a start file', {
      hint: "Write it as stateDirOf('start.ts').",
    })
  return findStateDir(absoluteStartFile(startFile, process.cwd(), process.env['PWD']), null).path
}

function livesIn(path: string): boolean {
  return livingHolder(stateDirAt(path).pidFile) !== null
}

function isCreatable(path: string): boolean {
  let existing = path
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing)
  try {
    accessSync(existing, constants.W_OK)
    return true
  } catch {
    // not ours to write
    return false
  }
}

/**
 * Creates the directory, mode 0700.
 * @throws ShiftworkError `ERR_STATE_DIR`, with a hint that names `--state-dir`.
 */
export function createStateDir(dir: StateDir): void {
  try {
    mkdirSync(dir.path, { recursive: true, mode: 0o700 })
    accessSync(dir.path, constants.W_OK | constants.X_OK)
  } catch (error) {
    const why = systemCode(error) ?? String(error)
    throw new ShiftworkError('ERR_STATE_DIR', `Cannot write to the state directory ${dir.path}: ${why}`, {
      hint: 'Choose another one with --state-dir, or Worker.runAll({ stateDir }).',
      cause: error,
    })
  }
}

/** @throws ShiftworkError when the directory is another user's, whose master must not be called "not running". */
export function assertOwnStateDir(dir: StateDir): void {
  const uid = process.getuid?.() ?? 0
  let owner: number
  try {
    owner = statSync(dir.path).uid
  } catch (error) {
    if (systemCode(error) === 'EACCES') throw foreign(dir, 'another user')
    // it does not exist: nothing runs
    return
  }
  if (uid !== 0 && owner !== uid) throw foreign(dir, `user id ${owner}`)
}

function foreign(dir: StateDir, owner: string): ShiftworkError {
  return new ShiftworkError('ERR_STATE_DIR', `The state directory ${dir.path} belongs to ${owner}`, {
    hint: 'Run the command as that user, or name your own directory with --state-dir.',
  })
}
