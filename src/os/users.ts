/** User and group names to ids, as the system's own databases have them (passwd(5), group(5), by `id` and `getent`). */
import { execFileSync } from 'node:child_process'
import { ShiftworkError, systemCode } from '../errors.ts'

/** A directory service that is away must not hold up a sentence. */
const NAME_TIMEOUT_MS = 1_000
/** Nor a start, but nobody can begin without what it has to say. */
const LOOKUP_TIMEOUT_MS = 5_000

const ROOT_ONLY = 'Only a master that root started can give its workers another user.'

export interface UserIds {
  uid: number
  gid: number
}

/**
 * @param user a name, or a number, which need be known to nobody; @param group likewise, none: the user's own.
 * @throws ShiftworkError `ERR_USER`, when this machine has no such user or group.
 */
export function userIds(user: string, group?: string | null): UserIds {
  const uid = isNumber(user) ? Number(user) : numberOf('id', ['-u', user])
  if (uid === null) throw unknown('user', user)
  const gid = group ? groupId(group) : numberOf('id', ['-g', user])
  if (gid !== null) return { uid, gid }
  if (group) throw unknown('group', group)
  throw new ShiftworkError('ERR_USER', `This machine does not know the group of user ${user}`, {
    hint: 'Name it with the option group.',
  })
}

/**
 * @param spec of workers that this process is to start.
 * @throws ShiftworkError `ERR_USER`, when they could not become who they are to be.
 */
export function assertUser({ name, user, group }: { name: string; user: string | null; group: string | null }): void {
  if (user === null && group === null) return
  const uid = process.getuid?.() ?? 0
  const ids = userIds(user ?? String(uid), group)
  if (uid !== 0 && ids.uid !== uid)
    throw new ShiftworkError('ERR_USER', `Worker "${name}" cannot become user "${user}"`, { hint: ROOT_ONLY })
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

function isNumber(text: string): boolean {
  return /^\d+$/.test(text)
}

function groupId(group: string): number | null {
  return isNumber(group) ? Number(group) : numberOf('getent', ['group', group])
}

function numberOf(command: string, args: string[]): number | null {
  const timeout = LOOKUP_TIMEOUT_MS
  try {
    const text = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout }).trim()
    const number = (command === 'getent' ? text.split(':')[2] : text) ?? ''
    return isNumber(number) ? Number(number) : null
  } catch (cause) {
    if (systemCode(cause) === 'ETIMEDOUT') throw silent(`${command} ${args.join(' ')}`, cause)
    // these commands exit with 1 or 2 for a name that is not known
    return null
  }
}

function silent(command: string, cause: unknown): ShiftworkError {
  return new ShiftworkError('ERR_USER', `"${command}" has not answered within ${LOOKUP_TIMEOUT_MS / 1000} s`, {
    hint: 'Is the directory service away? Numbers for user and group need none.',
    cause,
  })
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
    if (user !== null) takeGroups(own, user, ids.gid)
    own.setgid?.(ids.gid)
    if (user !== null) own.setuid?.(ids.uid)
  } catch (cause) {
    throw new ShiftworkError('ERR_USER', `Cannot become ${user === null ? `group "${group}"` : `user "${user}"`}`, {
      hint: ROOT_ONLY,
      cause,
    })
  }
}

/** The types of Node.js leave this one out; process(3) of its documentation has it. */
type PosixProcess = typeof process & { initgroups?: (user: string | number, extraGroup: number) => void }

/** Those that the user is in; one that the machine does not know is in none. */
function takeGroups(own: PosixProcess, user: string, gid: number): void {
  try {
    // a number is an id to it, text a name
    own.initgroups?.(isNumber(user) ? Number(user) : user, gid)
  } catch (error) {
    if (!isNumber(user) || systemCode(error) !== 'ERR_UNKNOWN_CREDENTIAL') throw error
    own.setgroups?.([gid])
  }
}
