/**
 * What a connection of our own codecs has read and not yet understood, as one plain object, and the two
 * things that happen to it. Bytes that were given away as a message are never written to again.
 */

export interface ParseState {
  /** Its bytes from `start` to `end` are waiting; there may be room behind them. */
  buffer: Buffer
  start: number
  end: number
  /** Bytes that the first message takes; 0: not known yet. */
  need: number
  /** How many waiting bytes the codec has seen without knowing `need`. */
  seen: number
}

const NOTHING = Buffer.alloc(0)

export function createParseState(): ParseState {
  return { buffer: NOTHING, start: 0, end: 0, need: 0, seen: 0 }
}

export function waitingBytes(state: ParseState): number {
  return state.end - state.start
}

/** Adds what has come. Room grows twofold, so that bytes which come one by one are not copied each time. */
export function append(state: ParseState, chunk: Buffer): void {
  const waiting = waitingBytes(state)
  if (waiting === 0) {
    Object.assign(state, { buffer: chunk, start: 0, end: chunk.length })
    return
  }
  const whole = waiting + chunk.length
  if (state.buffer.length - state.end < chunk.length) {
    const room = Buffer.allocUnsafeSlow(Math.max(2 * waiting, whole, Math.min(state.need, 2 * whole)))
    state.buffer.copy(room, 0, state.start, state.end)
    Object.assign(state, { buffer: room, start: 0, end: waiting })
  }
  chunk.copy(state.buffer, state.end)
  state.end += chunk.length
}

/** All that is waiting, without a copy. */
export function waiting(state: ParseState): Buffer {
  return state.start === 0 && state.end === state.buffer.length
    ? state.buffer
    : state.buffer.subarray(state.start, state.end)
}

/** The first `need` bytes, which must be there; the next message begins behind them. */
export function take(state: ParseState): Buffer {
  const until = state.start + state.need
  const bytes = state.buffer.subarray(state.start, until)
  if (until === state.end) Object.assign(state, { buffer: NOTHING, start: 0, end: 0 })
  else state.start = until
  state.need = 0
  state.seen = 0
  return bytes
}
