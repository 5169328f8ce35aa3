/**
 * Unix sockets in directories of any depth: the kernel takes 107 bytes (unix(7)), Node.js 20 cuts the
 * rest off in silence. A long path is reached through an open descriptor of its directory.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { isLongPath } from '../address.ts'

/** Elsewhere than on Linux there is no such way: paths are as long as the kernel takes them. */
export function canShortenPaths(): boolean {
  return process.platform === 'linux'
}

/** A path to give to `listen` or `connect`; call `release` when that call has been made. */
export function shortSocketPath(path: string): { path: string; release: () => void } {
  if (!isLongPath(path) || !canShortenPaths()) return { path, release: () => undefined }
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, release: () => closeSync(fd) }
}
