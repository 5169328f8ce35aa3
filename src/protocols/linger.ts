/**
 * The gentle end of a socket: a client that is still sending when its socket is closed gets a reset, and
 * what was sent to it may be lost with that. So our side is ended, what comes is thrown away, and the
 * client's end is waited for (RFC 9112, 9.6).
 */
import type { Socket } from 'node:net'
import { lookEvery } from '../patience.ts'

/** How long a client may take to notice the end; one that is still sending gets longer. */
const LINGER_MS = 1_000
/** So long when nothing is taken of what is still to be delivered, and when what comes has no end. */
const PATIENCE_MS = 30_000
const LOOK_MS = 250

/**
 * Ends it, delivers what is buffered, and closes it. Reads from now on what it throws away.
 * @param patienceMs how long it may go on sending once the kernel has all that was sent to it. Default 30 000.
 */
export function endGently(socket: Socket, patienceMs = PATIENCE_MS): void {
  socket.end()
  socket.removeAllListeners('data')
  socket.resume()
  if (socket.destroyed) return
  socket.setTimeout(0)
  // to a process that was blocked all its clients seem to be quiet
  const timer = lookEvery(LOOK_MS, look(socket, patienceMs))
  timer.unref()
  socket.once('close', () => clearInterval(timer))
}

function look(socket: Socket, patienceMs: number): () => void {
  let quietSince = performance.now()
  let endsAt = quietSince + patienceMs
  let stuckAt = quietSince + PATIENCE_MS
  let read = socket.bytesRead
  let waiting = waitingIn(socket)
  socket.once('finish', () => {
    quietSince = performance.now()
    endsAt = quietSince + patienceMs
  })
  return () => {
    const now = performance.now()
    if (socket.bytesRead !== read) quietSince = now
    // whatever it sends: one that takes nothing is not waited for
    if (waitingIn(socket) !== waiting) stuckAt = now + PATIENCE_MS
    read = socket.bytesRead
    waiting = waitingIn(socket)
    const isDone = socket.writableFinished ? now - quietSince >= LINGER_MS || now >= endsAt : now >= stuckAt
    if (isDone) socket.destroy()
  }
}

/** Bytes that the kernel has not taken, those of a long write of which it has taken a part, too; Node.js looks at the same. */
function waitingIn(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { writeQueueSize?: number } | null }
  return socket.writableLength + (handle?.writeQueueSize ?? 0)
}
