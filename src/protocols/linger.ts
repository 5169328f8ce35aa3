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
const LOOK_MS = 250

/** Ends it, delivers what is buffered, and closes it. Reads from now on what it throws away. */
export function endGently(socket: Socket): void {
  socket.end()
  socket.removeAllListeners('data')
  socket.resume()
  if (socket.destroyed) return
  // Node.js alone sees that a part of a long write was taken
  socket.setTimeout(PATIENCE_MS, () => socket.destroy())
  const timer = setInterval(look(socket), LOOK_MS)
  timer.unref()
  socket.once('close', () => clearInterval(timer))
}

function look(socket: Socket): () => void {
  const endsAt = performance.now() + PATIENCE_MS
  let quietSince = performance.now()
  let stuckAt = endsAt
  let read = socket.bytesRead
  let taken = takenOf(socket)
  socket.once('finish', () => {
    quietSince = performance.now()
  })
  return () => {
    const now = performance.now()
    const isSending = socket.bytesRead !== read
    if (isSending) quietSince = now
    // one that takes a long write piece by piece is silent; one that sends and takes nothing is not waited for
    if (takenOf(socket) !== taken || !isSending) stuckAt = now + PATIENCE_MS
    read = socket.bytesRead
    taken = takenOf(socket)
    const isDone = socket.writableFinished ? now - quietSince >= LINGER_MS || now >= endsAt : now >= stuckAt
    if (isDone) socket.destroy()
  }
}

function takenOf(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength
}
