/**
 * Which start file is meant where none was named, or only its directory; and, where there is none either, which
 * master that lives keeps its state there. For `bin/shiftwork`, which evaluates nothing to find out.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize, resolve } from 'node:path'
import { ShiftworkError } from '../errors.ts'
import { isHeld } from '../os/occupancy.ts'
import { livingHolder } from '../os/pidfile.ts'
import { absoluteStartFile } from '../os/startfile.ts'
import { type StateDir, stateDirAt } from '../os/statedir.ts'

export const DEFAULT_FILES = ['start.ts', 'start.mts', 'start.js', 'start.mjs', 'start.cjs', 'dist/start.js']

export interface StartPlace {
  /** Absolute; null: there is none. A file that was named need not be there. */
  startFile: string | null
  /** Where one was looked for; that of a file that was named. */
  directory: string
  isNamed: boolean
}

/** @param named a file or a directory; null: nothing was named, the working directory is meant. */
export function findStart(named: string | null): StartPlace {
  const isNamed = named !== null
  if (isNamed && !isDirectory(named)) {
    const startFile = absolute(named)
    return { startFile, directory: dirname(startFile), isNamed }
  }
  const directory = resolve(named ?? '.')
  const found = DEFAULT_FILES.map((file) => join(named ?? '.', file)).find((file) => existsSync(resolve(file)))
  return { startFile: found === undefined ? null : absolute(found), directory, isNamed }
}

/** The directory that one is in may have been removed: what is absolute is found all the same. */
function absolute(file: string): string {
  return isAbsolute(file) && !hasDirectory()
    ? normalize(file)
    : absoluteStartFile(file, process.cwd(), process.env['PWD'])
}

function hasDirectory(): boolean {
  try {
    return process.cwd() !== ''
  } catch {
    // removed, or not ours to look up
    return false
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(resolve(path)).isDirectory()
  } catch {
    // not there, or behind a directory that is another user's: whose it is, is said when its state is looked for
    return false
  }
}

/**
 * The one master that lives and keeps its state beside a start file in this directory.
 * @returns null where there is none.
 * @throws ShiftworkError `ERR_USAGE` that names them where there are several.
 */
export async function findLivingIn(directory: string): Promise<StateDir | null> {
  const living: { stateDir: StateDir; pid: number | null }[] = []
  for (const stateDir of stateDirsIn(directory)) {
    const pid = livingHolder(stateDir.pidFile)?.pid ?? null
    // one of another process table is there when it answers
    if (pid !== null || (await isHeld(stateDir))) living.push({ stateDir, pid })
  }
  if (living.length < 2) return living[0]?.stateDir ?? null
  const names = living.map(({ stateDir, pid }) => `--state-dir ${stateDir.path}${pid === null ? '' : ` (pid ${pid})`}`)
  throw new ShiftworkError('ERR_USAGE', `Several masters run in ${directory}`, {
    hint: ['Name the start file of the one that is meant, or:', ...names].join('\n'),
  })
}

function stateDirsIn(directory: string): StateDir[] {
  const parent = join(directory, '.shiftwork')
  try {
    return readdirSync(parent).map((name) => stateDirAt(join(parent, name)))
  } catch {
    // nothing was ever started here, or it is another user's
    return []
  }
}
