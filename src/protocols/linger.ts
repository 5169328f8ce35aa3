/**
 * The gentle end of a socket: a client that is still sending when its socket is closed gets a reset, and
 * what was sent to it may be lost with that. So our side is ended, what comes is thrown away, and the
 * client's end is waited for (RFC 9112, 9.6).
 */
import type { Socket } from 'node:net'

/** How long a client may take to notice the end; one that is still sending gets longer. */
const LINGER_MS = 1_000
/** And so long when nothing is taken of what is still to be delivered, or what comes has no end. */
const PATIENCE_MS = 30_000

/** Ends it, delivers what is buffered, and closes it. Reads from now on what it throws away. */
export function endGently(socket: Socket): void {
  socket.end()
  socket.removeAllListeners('data')
  socket.resume()
  if (socket.destroyed) return
  const endsAt = performance.now() + PATIENCE_MS
  let readBefore = socket.bytesRead
  let takenBefore = taken(socket)
  let stuckAt = endsAt
  const timer = setInterval(() => {
    const now = performance.now()
    if (socket.writableFinished) {
      if (socket.bytesRead === readBefore || now >= endsAt) socket.destroy()
      readBefore = socket.bytesRead
      return
    }
    if (taken(socket) !== takenBefore) stuckAt = now + PATIENCE_MS
    takenBefore = taken(socket)
    if (now >= stuckAt) socket.destroy()
  }, LINGER_MS)
  timer.unref()
  socket.once('close', () => clearInterval(timer))
}

function taken(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength
}
