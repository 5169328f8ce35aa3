/**
 * Where new processes begin: in the directory in which the master was started. It is named through the symlink of
 * a release when there is one, so that it leads into the release of the moment; and one that was removed
 * keeps no worker from being started. Asked anew at each fork.
 */
import { statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { isWayTo, throughLink } from './startfile.ts'

/**
 * The directories in which processes may begin, the right one first, then what is left when that is gone.
 * @param cwd `process.cwd()`, in which links are resolved.
 * @param pwd `$PWD`: how the shell has come there.
 */
export function workingDirectories(cwd: string, pwd: string | undefined, startFile: string): string[] {
  const isNamed = pwd !== undefined && pwd !== cwd && isAbsolute(pwd) && isWayTo(pwd, cwd)
  return [...new Set([isNamed ? pwd : throughLink(cwd, startFile), cwd, dirname(startFile)])]
}

/** The first of them that is there; the first of all when none is. */
export function presentDirectory(directories: readonly string[]): string {
  return directories.find(isDirectory) ?? directories[0] ?? '/'
}

/** A sentence about the right one when it is gone, for `status`; empty while it is there. */
export function lostDirectory(directories: readonly string[]): string[] {
  const [right = '/'] = directories
  if (isDirectory(right)) return []
  const other = presentDirectory(directories)
  const instead = other === right ? 'no worker can be started' : `workers are started in ${other}`
  return [`the working directory ${right} is gone: ${instead}`]
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    // gone, or on a way that is
    return false
  }
}
