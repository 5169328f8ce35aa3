/** User and group names to ids, as the system's own databases have them (passwd(5), group(5), by `id` and `getent`). */
import { execFileSync } from 'node:child_process'
import { ShiftworkError } from '../errors.ts'

/** A directory service that is away must not hold up a sentence. */
const NAME_TIMEOUT_MS = 1_000

export interface UserIds {
  uid: number
  gid: number
}

/**
 * @param user a name or a number; @param group likewise, none: the user's own.
 * @throws ShiftworkError `ERR_USER`, when this machine has no such user or group.
 */
export function userIds(user: string, group?: string | null): UserIds {
  const uid = numberOf('id', ['-u', user])
  if (uid === null) throw unknown('user', user)
  const gid = group ? groupId(group) : numberOf('id', ['-g', user])
  if (gid === null) throw unknown('group', group ?? user)
  return { uid, gid }
}

/** What a user is called, or its number where nobody says it in time. */
export function userName(uid: number): string {
  try {
    const timeout = NAME_TIMEOUT_MS
    const words = ['-un', String(uid)]
    return execFileSync('id', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout }).trim()
  } catch {
    // no such user on this machine: one of a container, for instance
    return String(uid)
  }
}

function groupId(group: string): number | null {
  return /^\d+$/.test(group) ? Number(group) : numberOf('getent', ['group', group])
}

function numberOf(command: string, args: string[]): number | null {
  try {
    const text = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    const number = command === 'getent' ? text.split(':')[2] : text
    return /^\d+$/.test(number ?? '') ? Number(number) : null
  } catch {
    // these commands exit with 1 or 2 for a name that is not known
    return null
  }
}

function unknown(kind: 'user' | 'group', name: string): ShiftworkError {
  return new ShiftworkError('ERR_USER', `This machine has no ${kind} "${name}"`, {
    hint: `Create it, or correct the option ${kind}.`,
  })
}

/**
 * Gives up root for good: supplementary groups, then the group, then the user.
 * @throws ShiftworkError `ERR_USER`: going on with the wrong rights is never right.
 */
export function dropPrivileges(user: string | null, group: string | null): void {
  if (user === null && group === null) return
  const own = process as PosixProcess
  if (!own.getuid) throw new ShiftworkError('ERR_USER', 'This system has no users')
  const ids = userIds(user ?? String(own.getuid()), group)
  if (own.getuid() === ids.uid && own.getgid?.() === ids.gid) return
  try {
    if (user !== null) own.initgroups?.(nameOf(user), ids.gid)
    own.setgid?.(ids.gid)
    if (user !== null) own.setuid?.(ids.uid)
  } catch (cause) {
    throw new ShiftworkError('ERR_USER', `Cannot become ${user === null ? `group "${group}"` : `user "${user}"`}`, {
      hint: 'Only a master that root started can give its workers another user.',
      cause,
    })
  }
}

/** The types of Node.js leave this one out; process(3) of its documentation has it. */
type PosixProcess = typeof process & { initgroups?: (user: string | number, extraGroup: number) => void }

/** initgroups takes a number for an id; a name stays a name. */
function nameOf(user: string): string | number {
  return /^\d+$/.test(user) ? Number(user) : user
}
