/**
 * Opens a server on the listening handle that the master holds. `server.listen(handle)` asks the
 * cluster's primary for a unix socket and fails, on every Node.js version; attached one level lower
 * it works for TCP and unix sockets alike. The only file that touches these private members.
 */
import type { Server } from 'node:net'
import { ShiftworkError } from '../errors.ts'

interface NodeInternals {
  _handle?: unknown
  _listen2?: (address: null, port: number, addressType: number, backlog: number) => void
}

/**
 * Resolves when the server listens.
 * @throws the system's error, for example EADDRINUSE when another program was faster.
 */
export function listenOn(server: Server, handle: unknown, backlog: number): Promise<void> {
  const internals = server as Server & NodeInternals
  const { _listen2: listen } = internals
  if (typeof listen !== 'function' || !handle)
    throw new ShiftworkError('ERR_NODE_INTERNALS', `Node.js ${process.version} is not supported by this version`, {
      hint: 'Use a Node.js that the README names, or a newer version of Shiftwork.',
    })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      // a connection that could not be accepted costs nobody else anything
      server.on('error', (error) => console.error(`shiftwork: ${error.message}`))
      resolve()
    })
    internals._handle = handle
    listen.call(server, null, -1, -1, backlog)
  })
}
