/**
 * Opens a server on the listening handle that the master holds. `server.listen(handle)` asks the
 * cluster's primary for a unix socket and fails, on every Node.js version; attached one level lower
 * it works for TCP and unix sockets alike. A handle of UDP is taken by `bind` as it is. The only file
 * that touches these private members.
 */
import { createSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import { ShiftworkError } from '../errors.ts'
import type { DatagramPort } from '../protocols/datagram/datagrams.ts'

interface NodeInternals {
  _handle?: unknown
  _listen2?: (address: null, port: number, addressType: number, backlog: number) => void
}

/**
 * Resolves when the server listens.
 * @throws the system's error, for example EADDRINUSE when another program was faster; ShiftworkError `ERR_OPTION`
 * when user code has let it listen elsewhere.
 */
export async function listenOn(server: Server, handle: unknown, backlog: number): Promise<void> {
  if (server.listening) {
    closeHandle(handle)
    throw new ShiftworkError('ERR_OPTION', 'The server of the worker listens already, on an address of its own', {
      hint: 'Leave out app.listen(), or server.listen(): the worker does that, on the address that it was given.',
    })
  }
  await attach(server, handle, backlog)
  // a connection that could not be accepted costs nobody else anything
  server.on('error', (error) => console.error(`shiftwork: ${error.message}`))
}

function attach(server: Server, handle: unknown, backlog: number): Promise<void> {
  const internals = server as Server & NodeInternals
  const { _listen2: listen } = internals
  if (typeof listen !== 'function' || !handle) throw unsupported()
  return new Promise((resolve, reject) => {
    const done = (): void => {
      server.off('error', reject).off('listening', done)
      resolve()
    }
    server.once('error', reject)
    server.once('listening', done)
    internals._handle = handle
    listen.call(server, null, -1, -1, backlog)
  })
}

function unsupported(): ShiftworkError {
  return new ShiftworkError('ERR_NODE_INTERNALS', `Node.js ${process.version} is not supported by this version`, {
    hint: 'Use a Node.js that the README names, or a newer version of Shiftwork.',
  })
}

interface DatagramHandle {
  getsockname(out: object): number
  recvStart(): number
  recvStop(): number
}

/** Begins to read datagrams from a handle of UDP, which others read, too. */
export function openDatagrams(handle: unknown): DatagramPort {
  if (!isDatagramHandle(handle)) throw unsupported()
  const { address, family, port } = addressOf(handle)
  const socket = createSocket({
    type: family === 'IPv6' ? 'udp6' : 'udp4',
    // answers go to addresses: there is nothing to look up
    lookup: (ip, _options, callback) => callback(null, ip, 0),
  })
  // a datagram that could not be read costs nobody else anything
  socket.on('error', (error) => console.error(`shiftwork: ${error.message}`))
  socket.bind(handle as never)
  return {
    localAddress: address,
    localPort: port,
    get queuedBytes() {
      return socket.getSendQueueSize()
    },
    send: (bytes, to, done) => socket.send(bytes, to.port, to.address, done),
    onDatagram: (listener) => void socket.on('message', listener),
    stopReading: () => void handle.recvStop(),
    readAgain: () => void handle.recvStart(),
  }
}

function isDatagramHandle(handle: unknown): handle is DatagramHandle {
  const { getsockname, recvStart, recvStop } = (handle ?? {}) as Partial<DatagramHandle>
  return [getsockname, recvStart, recvStop].every((member) => typeof member === 'function')
}

function addressOf(handle: DatagramHandle): { address: string; family: string; port: number } {
  const out = { address: '', family: '', port: 0 }
  handle.getsockname(out)
  return out
}

/**
 * Closes this process's copy of the handle: it accepts nothing, others do. For the server's owner it
 * listens all the same (a server without a handle would emit `close` with its last connection):
 * a stand-in takes the handle's place until `listenAgain`, or until the server is closed.
 */
export function pauseListening(server: Server): void {
  const internals = server as Server & NodeInternals
  const address = server.address()
  const handle = internals._handle
  internals._handle = standIn(typeof address === 'object' ? address : null)
  closeHandle(handle)
}

/** @returns false when nothing came of it: the server is paused as before. */
export async function listenAgain(server: Server, handle: unknown, backlog: number): Promise<boolean> {
  const internals = server as Server & NodeInternals
  const paused = internals._handle
  if (!handle) return false
  try {
    await attach(server, handle, backlog)
    return true
  } catch {
    // its words are in the log already, by the server's own listener
    internals._handle = paused
    return false
  }
}

function standIn(address: object | null): object {
  const handle = { close: (done?: () => void) => done?.(), ref: () => undefined, unref: () => undefined }
  if (address === null) return handle
  const getsockname = (out: object): number => {
    Object.assign(out, address)
    return 0
  }
  return { ...handle, getsockname }
}

/** One that is not used: it would hold the address for as long as this process lives. */
export function closeHandle(handle: unknown): void {
  const closable = handle as { close?: () => void } | null | undefined
  closable?.close?.()
}

/** The number of a socket's descriptor, -1 when it has none. */
export function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null }
  return handle?.fd ?? -1
}
