/**
 * Socket files that a process has left behind when it was killed: told from those of the living by asking,
 * and taken away without ever taking one that somebody has just opened in the same place.
 */
import { linkSync, lstatSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { systemCode } from '../errors.ts'
import { shortSocketPath } from './socketpath.ts'
import { isBound } from './sockets.ts'

/** free: nothing is there, any more · answered: somebody listens, or is about to · other: a file that is no socket */
export type SocketPlace = 'free' | 'answered' | 'other'

/**
 * Between the two calls that open a socket nobody answers on it, and between the two that take one away it is claimed.
 * Whoever is still there after so long was killed between them.
 */
const BETWEEN_MS = 1_000
const RETRY_MS = 5

/**
 * Removes a socket file that nobody answers on; anything else stays. One that is younger than a second may be about to
 * be answered, and is waited for.
 * @throws the system's error when the directory does not allow it.
 */
export async function clearSocketFile(path: string): Promise<SocketPlace> {
  for (let known = '', since = 0; ; ) {
    const found = look(path)
    if (found.socket === null) return found.place
    // also by somebody who does not listen yet, as a fleet whose first worker is not ready
    if ((await isAnswered(path)) || isBound(path)) return 'answered'
    if (found.socket !== known) [known, since] = [found.socket, performance.now()]
    const isPatient = performance.now() < since + BETWEEN_MS
    const isYoung = Math.abs(Date.now() - found.madeAt) < BETWEEN_MS
    if (!(isYoung && isPatient) && remove(path, known)) return 'free'
    if (!isPatient) rmSync(claimOn(path, known), { force: true })
    await delay(RETRY_MS)
  }
}

type Look = { place: SocketPlace; socket: null } | { place: null; socket: string; madeAt: number }

/** `socket` tells this one from any other that was ever there: numbers of inodes are used again, at another time. */
function look(path: string): Look {
  try {
    const found = lstatSync(path, { bigint: true })
    if (!found.isSocket()) return { place: 'other', socket: null }
    return { place: null, socket: `${found.ino}-${found.mtimeNs}`, madeAt: Number(found.mtimeMs) }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { place: 'free', socket: null }
    throw error
  }
}

/**
 * Whoever has the claim on a socket, and nobody else, may remove it: between a last look at the path and its
 * removal another could have listened there.
 * @returns false when it is not there any more, or another removes it.
 */
function remove(path: string, socket: string): boolean {
  const claim = claimOn(path, socket)
  try {
    linkSync(path, claim)
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (code === 'ENOENT' || code === 'EEXIST') return false
    // another user's, or a file system without links: as well as it can be done there
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(code)) throw error
    if (look(path).socket !== socket) return false
    rmSync(path, { force: true })
    return true
  }
  try {
    if (look(claim).socket !== socket) return false
    rmSync(path, { force: true })
    return true
  } finally {
    rmSync(claim, { force: true })
  }
}

/** What is removed stays known by this second name for as long as that takes. */
function claimOn(path: string, socket: string): string {
  return join(dirname(path), `.stale-${socket}`)
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
