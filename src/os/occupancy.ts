/**
 * Who holds a state directory, where the process table does not tell: two containers, or a container and its
 * host, may share one, and a pid means nothing from one to the other. A connection does: whoever listens on the
 * control socket lives. A master listens before it takes the lock, on a name of its own, so that there is no moment
 * in which it has the lock and cannot be told from a dead one.
 */
import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { ShiftworkError, systemCode } from '../errors.ts'
import {
  alreadyRunning,
  type Holder,
  isOwnPidFile,
  type Named,
  readPidFile,
  releasePidFile,
  takePidFile,
  uniqueName,
} from './pidfile.ts'
import { shortSocketPath } from './socketpath.ts'
import type { StateDir } from './statedir.ts'

/** Where a master listens until its control socket is in its place. */
export function firstSocket({ controlSocket }: StateDir, named: Named): string {
  return `${controlSocket}.${uniqueName(named)}`
}

/**
 * Takes the lock of a state directory for this process, which listens on its first socket.
 * @param isOwnSocket the control socket that is in its place is ours.
 * @returns null when taken, or who holds it.
 */
export async function takeStateDir(dir: StateDir, isOwnSocket: () => boolean): Promise<Holder | null> {
  const isTaken = async (): Promise<boolean> => !isOwnSocket() && (await isAnswered(dir.controlSocket))
  const wasOurs = isOwnPidFile(dir.pidFile)
  const holder = await takePidFile(dir.pidFile, async (named) => {
    // in this order: it moves from the one to the other
    if ((await isAnswered(firstSocket(dir, named))) || (await isTaken())) return true
    rmSync(firstSocket(dir, named), { force: true })
    return false
  })
  if (holder !== null) return holder
  // somebody has removed the pid file of one that answers: it will make it again
  if (!(await isTaken())) return null
  if (!wasOurs) releasePidFile(dir.pidFile)
  return 'unseen'
}

/** A master answers, or will in a moment, whether our process table shows it or not. */
export async function isHeld(dir: StateDir): Promise<boolean> {
  const named = readPidFile(dir.pidFile)
  if (named && (await isAnswered(firstSocket(dir, named)))) return true
  return isAnswered(dir.controlSocket)
}

/** A process listens there; whether it ever reads is another matter. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    let short: ReturnType<typeof shortSocketPath>
    try {
      short = shortSocketPath(path)
    } catch {
      // its directory is not there, or not ours
      resolve(false)
      return
    }
    const socket = connect(short.path)
    short.release()
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // one that is so busy that no more can wait for it
    socket.once('error', (error) => resolve(systemCode(error) === 'EAGAIN'))
  })
}

/** What a second start is told. */
export function occupied({ path }: StateDir, holder: Holder): ShiftworkError {
  if (holder !== 'unseen') return alreadyRunning(holder)
  return new ShiftworkError('ERR_ALREADY_RUNNING', `Another master answers in ${path}, perhaps in another container`, {
    hint: 'Give this one a directory of its own with --state-dir; stop ends the other, from here, too.',
  })
}
