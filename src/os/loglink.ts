/**
 * How `logs` finds a log that is not in the state directory, without the start file that says where
 * it is: the master leaves a symlink there. It has a name of its own, so that what it replaces or
 * removes is never a log, nor a link that somebody made by hand in the log's place.
 */
import { lstatSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import { systemCode } from '../errors.ts'
import type { StateDir } from './statedir.ts'

/** The log that the latest master of this directory wrote, or would write: a path that may not exist. */
export function logPath(dir: StateDir): string {
  return kindOf(dir.logLink) === 'link' ? resolve(dir.path, readlinkSync(dir.logLink)) : dir.logFile
}

/**
 * Called by the master that holds the directory.
 * @returns null, or a warning.
 */
export function linkLog(dir: StateDir, logFile: string): string | null {
  const isElsewhere = logFile !== dir.logFile
  const kind = kindOf(dir.logLink)
  if (kind === 'other') return isElsewhere ? `"logs" will not find ${logFile}: ${dir.logLink} is in the way` : null
  try {
    if (isElsewhere) replaceLink(dir.logLink, logFile)
    else if (kind === 'link') rmSync(dir.logLink, { force: true })
    return null
  } catch (error) {
    return `"logs" will not find ${logFile}: ${dir.logLink}: ${systemCode(error) ?? String(error)}`
  }
}

function kindOf(path: string): 'link' | 'other' | 'nothing' {
  try {
    return lstatSync(path).isSymbolicLink() ? 'link' : 'other'
  } catch {
    // not there, or not ours to see
    return 'nothing'
  }
}

/** Without a moment in which there is none. */
function replaceLink(path: string, target: string): void {
  const own = `${path}.${process.pid}`
  rmSync(own, { force: true })
  symlinkSync(target, own)
  renameSync(own, path)
}
