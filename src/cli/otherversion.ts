/**
 * A master that does not know what it is asked: the package was exchanged under it, and what is said on its
 * control socket has changed. Signals mean the same in every version.
 */
import { ShiftworkError } from '../errors.ts'
import type { Reply } from '../ipc/messages.ts'
import { UNKNOWN_REQUEST } from '../ipc/requests.ts'

/** Thrown by every question; `stop` and `restart` end such a master with a signal. */
export class OtherVersion extends ShiftworkError {
  constructor(pid: number | null) {
    const who = pid === null ? 'The master' : `The master (pid ${pid})`
    super('ERR_NO_ANSWER', `${who} is of another version of Shiftwork and does not know this request`, {
      hint:
        pid === null
          ? 'It is in another process table, perhaps in another container: restart it there.'
          : 'restart begins anew with this version; stop ends it gracefully.',
    })
  }
}

export function isUnknown(reply: Reply): boolean {
  return reply.type === 'error' && reply.code === 'usage' && reply.message === UNKNOWN_REQUEST
}
