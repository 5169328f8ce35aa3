/**
 * One message to the connections of all processes of a group: what is sent from process to process, its
 * limits, and the way to it in this process. Node's channel carries JSON: bytes go as base64.
 */
import { ShiftworkError } from '../errors.ts'

/** What became of a broadcast. A process that ended meanwhile is in none of these numbers, nor are its connections. */
export interface BroadcastResult {
  /** Processes that have handed it to their connections; one that has none yet is one of them. */
  processes: number
  /** Connections that took it: those that were full or closed did not. */
  connections: number
  /** Processes that will never get it: 4 MiB wait for them already. */
  behind: number
  /** Processes that were sent it and did not answer within 2 s: blocked, or stopped. They may still get it. */
  late: number
}

export type Broadcast = (group: string, data: WireData) => Promise<BroadcastResult>

/** The longest message. */
export const MAX_BROADCAST_BYTES = 256 * 1024
/** What may be on its way to a process, all messages together, before it gets no more. */
export const MAX_WAITING_BYTES = 4 * 1024 * 1024

export type WireData = { text: string } | { base64: string }

/** @throws ShiftworkError `ERR_OPTION` for what is neither text nor bytes, `ERR_MESSAGE_TOO_LARGE`. */
export function encodeData(data: unknown): WireData {
  if (typeof data !== 'string' && !(data instanceof Uint8Array))
    throw new ShiftworkError('ERR_OPTION', `Worker.broadcast was given ${typeof data}`, {
      hint: 'It takes a string or a Uint8Array; JSON.stringify makes a string of most things.',
    })
  const bytes = Buffer.byteLength(data)
  if (bytes > MAX_BROADCAST_BYTES)
    throw new ShiftworkError(
      'ERR_MESSAGE_TOO_LARGE',
      `A broadcast has ${bytes} bytes, and ${MAX_BROADCAST_BYTES} at most`,
      {
        hint: 'Broadcast where it is to be found, and not the whole.',
      },
    )
  if (typeof data === 'string') return { text: data }
  return { base64: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') }
}

export function decodeData(data: WireData): string | Buffer {
  return 'text' in data ? data.text : Buffer.from(data.base64, 'base64')
}

/** How many bytes it takes on the wire, about. */
export function wireBytes(data: WireData): number {
  return 'text' in data ? Buffer.byteLength(data.text) : data.base64.length
}

/** @throws ShiftworkError `ERR_OPTION` when the master knows no such group. */
export function resultOf(group: string, result: BroadcastResult | null): BroadcastResult {
  if (result) return result
  throw new ShiftworkError('ERR_OPTION', `There is no worker "${group}" to broadcast to`, {
    hint: 'It is the name of a Worker of the start file.',
  })
}

/** On the process: the start file may have been loaded with its own copy of this package. */
const BROADCAST = Symbol.for('shiftwork.broadcast')
type Provided = typeof process & { [BROADCAST]?: Broadcast }

/** Called once, by what this process is. */
export function provideBroadcast(broadcast: Broadcast): void {
  Object.assign(process, { [BROADCAST]: broadcast })
}

/** @throws ShiftworkError `ERR_NOT_RUNNING` in a process that is neither master nor worker, or not yet. */
export const broadcast: Broadcast = async (group, data) => {
  const provided = (process as Provided)[BROADCAST]
  if (provided) return provided(group, data)
  throw new ShiftworkError('ERR_NOT_RUNNING', 'Worker.broadcast was called in a process that is no worker', {
    hint: 'Call it in hooks: they run when runAll() has made the process what it is.',
  })
}
