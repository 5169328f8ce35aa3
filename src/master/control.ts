/**
 * The master's ear: a unix socket on which command lines ask. Mode 0600 in a 0700 directory; a line
 * of JSON each way. A request gets exactly one reply, with lines of progress before it. Garbage,
 * silence and floods end that connection and disturb nothing else.
 */
import { lstatSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError, systemCode } from '../errors.ts'
import { type Decoded, encodeLine, LineDecoder } from '../ipc/lines.ts'
import type { ControlMessage, Reply } from '../ipc/messages.ts'
import { type ControlRequest, parseRequest, UNKNOWN_REQUEST } from '../ipc/requests.ts'
import { debug } from '../log.ts'
import { firstSocket } from '../os/occupancy.ts'
import { ownName } from '../os/pidfile.ts'
import { shortSocketPath } from '../os/socketpath.ts'
import type { StateDir } from '../os/statedir.ts'

/** Of progress that its asker does not read. */
const MAX_UNREAD_BYTES = 1024 * 1024
const MAX_REQUEST_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 5_000
/** At once; another one is closed as it comes. */
export const MAX_CONNECTIONS = 128
const CLOSE_TIMEOUT_MS = 500

/** One that asked. `progress` may be called until `reply`, which may be called once. */
export interface Asker {
  progress(message: Exclude<ControlMessage, Reply>): void
  reply(message: Reply): void
  /** Resolves when what was told is with the kernel. @returns false when nobody reads: that one is hung up on. */
  taken(timeoutMs: number): Promise<boolean>
}

export interface ControlServer {
  /** Moves it to where commands look for it, in place of whatever a dead master left there. @throws ShiftworkError */
  show(onRequest: (request: ControlRequest, asker: Asker) => void): void
  /** It is what commands find. */
  isShown(): boolean
  /** Nobody finds it any more: while we have the lock, since the next to have it opens its own in this place. */
  hide(): void
  /** Takes nothing new, and waits for the replies under way, but not for long. */
  close(): Promise<void>
}

/**
 * Listens, on a name that only those look for who ask whether this process lives.
 * @throws ShiftworkError
 */
export async function openControl(stateDir: StateDir): Promise<ControlServer> {
  let onRequest: ((request: ControlRequest, asker: Asker) => void) | null = null
  const server = createServer((socket) => {
    if (onRequest) serve(socket, onRequest)
    else socket.destroy()
  })
  server.maxConnections = MAX_CONNECTIONS
  const path = stateDir.controlSocket
  // closing a server unlinks the path it was bound to: bound elsewhere, it cannot unlink a successor's socket
  const own = firstSocket(stateDir, ownName())
  rmSync(own, { force: true })
  await listen(server, own).catch((cause: unknown) => {
    throw cannotOpen(path, cause, 'Choose a directory on a local file system with --state-dir.')
  })
  const inode = inodeOf(own)
  return {
    show: (answer) => {
      onRequest = answer
      moveTo(path, own)
    },
    isShown: () => {
      const found = inodeOf(path)
      return found === 'unknown' || found === inode
    },
    hide: () => rmSync(path, { force: true }),
    close: async () => {
      // one that was never shown
      rmSync(own, { force: true })
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      await Promise.race([closed, delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
    },
  }
}

/** Null when nothing is there. */
function inodeOf(path: string): number | 'unknown' | null {
  try {
    return lstatSync(path).ino
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? null : 'unknown'
  }
}

/** Over a socket, a file or a link; only a directory stays. */
function moveTo(path: string, own: string): void {
  try {
    renameSync(own, path)
  } catch (cause) {
    rmSync(own, { force: true })
    throw cannotOpen(path, cause, 'Move away what is there, then start again.')
  }
}

function cannotOpen(path: string, cause: unknown, hint: string): ShiftworkError {
  const why = systemCode(cause) ?? String(cause)
  return new ShiftworkError('ERR_STATE_DIR', `Cannot open the control socket ${path}: ${why}`, { hint, cause })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const short = shortSocketPath(path)
    server.once('error', reject)
    const umask = process.umask(0o177)
    try {
      server.listen({ path: short.path, exclusive: true }, () => {
        server.off('error', reject)
        server.on('error', (error) => debug('control socket: %s', error.message))
        resolve()
      })
    } finally {
      process.umask(umask)
      short.release()
    }
  })
}

function serve(socket: Socket, onRequest: (request: ControlRequest, asker: Asker) => void): void {
  const decoder = new LineDecoder(MAX_REQUEST_BYTES)
  let isAsked = false
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy())
  // a client that went away: the operation it asked for goes on
  socket.on('error', (error) => debug('control client: %s', error.message))
  socket.on('data', (chunk) => {
    const [line] = isAsked ? [] : decoder.push(chunk)
    if (!line) return
    isAsked = true
    socket.setTimeout(0)
    obey(socket, line, onRequest)
  })
}

function obey(socket: Socket, line: Decoded, onRequest: (request: ControlRequest, asker: Asker) => void): void {
  const request = line.ok ? parseRequest(line.value) : null
  const asker = askerOf(socket)
  if (!request) {
    asker.reply({ type: 'error', code: 'usage', message: UNKNOWN_REQUEST, hint: null })
    return
  }
  // a client that gave up before it was accepted has told its user so, and to obey now would make that a lie: its end
  // may still be unread (Node.js 24 reads it in a later turn than what came before it), but nothing can be written to it
  socket.write(encodeLine({ type: 'accepted' }), (error) => {
    if (error || socket.destroyed || socket.readableEnded) return
    onRequest(request, asker)
  })
}

function askerOf(socket: Socket): Asker {
  let isAnswered = false
  let taking: Promise<boolean> | null = null
  return {
    taken: (timeoutMs) => {
      if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve(!socket.destroyed)
      taking ??= drained(socket, timeoutMs).finally(() => {
        taking = null
      })
      return taking
    },
    progress: (message) => {
      if (isAnswered || !socket.writable) return
      // one that reads nothing misses what is told on the way, not what it has asked for
      const isNews = message.type === 'progress' || message.type === 'output'
      if (!isNews || socket.writableLength <= MAX_UNREAD_BYTES) socket.write(encodeLine(message))
    },
    reply: (message) => {
      if (isAnswered) return
      isAnswered = true
      if (socket.writable) socket.end(encodeLine(message))
    },
  }
}

function drained(socket: Socket, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs)
    const done = (): void => {
      clearTimeout(timer)
      socket.off('drain', done).off('close', done)
      resolve(!socket.destroyed)
    }
    socket.on('drain', done).on('close', done)
  })
}
