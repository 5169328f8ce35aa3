/**
 * Socket files that a process has left behind when it was killed: told from those of the living by asking,
 * and taken away without ever taking one that somebody has just opened in the same place.
 */
import { linkSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { systemCode } from '../errors.ts'
import { shortSocketPath } from './socketpath.ts'

/** free: nothing is there, any more · answered: somebody listens · other: a file that is no socket */
export type SocketPlace = 'free' | 'answered' | 'other'

/**
 * Removes a socket file that nobody answers on; anything else stays.
 * @throws the system's error when the directory does not allow it.
 */
export async function clearSocketFile(path: string): Promise<SocketPlace> {
  for (;;) {
    const found = look(path)
    if (found.socket === null) return found.place
    if (await isAnswered(path)) return 'answered'
    // another may have been as quick, and listens there by now: that one is asked in its turn
    if (remove(path, found.socket)) return 'free'
  }
}

type Look = { place: SocketPlace; socket: null } | { place: null; socket: string }

/** `socket` tells this one from any other that was ever there: numbers of inodes are used again, at another time. */
function look(path: string): Look {
  try {
    const found = lstatSync(path, { bigint: true })
    return found.isSocket()
      ? { place: null, socket: `${found.ino} ${found.mtimeNs}` }
      : { place: 'other', socket: null }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { place: 'free', socket: null }
    throw error
  }
}

/** @returns false when it is not there any more, or another is. */
function remove(path: string, socket: string): boolean {
  if (look(path).socket !== socket) return false
  const aside = join(dirname(path), `.stale-${process.pid}`)
  try {
    renameSync(path, aside)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
  const isRight = look(aside).socket === socket
  if (!isRight) putBack(aside, path)
  rmSync(aside, { force: true })
  return isRight
}

function putBack(aside: string, path: string): void {
  try {
    linkSync(aside, path)
  } catch (error) {
    // a third one has the place by now
    if (systemCode(error) !== 'EEXIST') throw error
  }
}

/** Only a refusal says that nobody listens: a full backlog, or another user's socket, is somebody's. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const short = shortSocketPath(path)
    const socket = connect(short.path)
    short.release()
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(systemCode(error) ?? '')))
  })
}
