/** Why a message is lost, for `onError` and the output: each in one place, since every protocol can lose one so. */
import { ShiftworkError } from '../errors.ts'
import { plural } from '../words.ts'

/** One that `send` was given and did not take. */
export function dropped({ isWritable, bufferedBytes }: { isWritable: boolean; bufferedBytes: number }): ShiftworkError {
  return isWritable
    ? new ShiftworkError('ERR_SEND_BUFFER_FULL', `${bufferedBytes} bytes wait to be sent: a message is dropped`)
    : new ShiftworkError('ERR_CONNECTION_CLOSED', 'The connection is closed: a message is dropped')
}

/** Those that had come before `pipe` was called, when nobody handled messages: the other side would miss the beginning. */
export function pipedTooLate(count: number): ShiftworkError {
  return new ShiftworkError(
    'ERR_TOO_LATE',
    `pipe() comes too late: ${plural(count, 'message')} came before it unheard`,
    {
      hint: 'Pipe before onConnect has settled, since nothing is read until then: const server = await upstream.whenConnected().',
    },
  )
}
