/**
 * Whether anybody still reads what this process prints into a pipe, without printing: `logs -f | head -1` has nothing
 * to say for hours after the first line. The kernel tells whoever polls the writing end that no reader is left
 * (POLLERR, poll(2), as tail(1) does it); Node.js polls a pipe for reading only if it may be read, which this end may
 * not, and a TCP handle without asking. So the end is opened once more, for such a handle, and the one error that it
 * can have is the reader's end. Used by `logs`; what it cannot watch, it never says anything of.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { systemCode } from '../errors.ts'
import { debug } from '../log.ts'

const STDOUT = 1

/**
 * Settles when the pipe that is stdout has no reader any more. Never for anything else that stdout may be, and never
 * elsewhere than on Linux: the next that is printed fails then.
 */
export function readerGone(): Promise<void> {
  return new Promise((resolve) => {
    if (process.platform !== 'linux' || !fstatSync(STDOUT).isFIFO()) return
    let fd: number
    try {
      // a description of its own: not to block is nobody else's affair. A FIFO without a reader cannot be opened so
      fd = openSync(`/proc/self/fd/${STDOUT}`, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      if (systemCode(error) === 'ENXIO') resolve()
      else debug('stdout cannot be watched: %s', error)
      return
    }
    watch(fd, resolve)
  })
}

interface TcpHandle {
  /** @returns 0, or a negative number of the system's errors. */
  open(fd: number): number
}

function watch(fd: number, onGone: () => void): void {
  const Handle = tcpHandle()
  const handle = Handle && new Handle(0)
  if (handle?.open(fd) !== 0) {
    closeSync(fd)
    debug('stdout cannot be watched: this Node.js has no handle for it')
    return
  }
  const options = { handle, readable: true, writable: false }
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0])
  socket.once('error', (error) => {
    // the read of an end that cannot be read, for which nothing but POLLERR is the occasion
    if (systemCode(error) === 'EBADF') onGone()
    else debug('stdout is not watched any more: %s', error)
  })
  socket.resume()
  socket.unref()
}

/** The class of the handle that a socket gets as it connects, which one whose host is never found does not do. */
function tcpHandle(): (new (type: number) => TcpHandle) | null {
  const socket = new Socket()
  socket.on('error', () => undefined)
  socket.connect({ host: 'nowhere.invalid', port: 1, lookup: () => undefined })
  const { _handle: handle } = socket as Socket & { _handle?: { constructor: unknown } | null }
  const found = handle?.constructor
  socket.destroy()
  return typeof found === 'function' ? (found as new (type: number) => TcpHandle) : null
}
