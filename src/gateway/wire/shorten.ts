/** Sockets of gateways in directories of any depth: for whoever connects to one. */
import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Longer unix socket paths are cut off (unix(7)). */
const MAX_PATH_BYTES = 107

/** A long path is reached through an open descriptor of its directory; `release` it when that is done, or failed. */
export function shorten(path: string): { short: string; release: () => void } {
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES || process.platform !== 'linux')
    return { short: path, release: () => undefined }
  let fd: number | null = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  const release = (): void => {
    if (fd !== null) closeSync(fd)
    fd = null
  }
  return { short: `/proc/self/fd/${fd}/${basename(path)}`, release }
}
