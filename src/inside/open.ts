/**
 * Opens the server of one more address: shared with the other workers by the means of `node:cluster`, or
 * this process's own. A socket file of its own goes when the server is closed, and when the process leaves.
 */
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { type AddressInfo, Server } from 'node:net'
import type { Address } from '../address.ts'
import { systemCode } from '../errors.ts'
import { assertDirectory, clearPlace, listenFailure } from '../ipc/listenplace.ts'
import { shortSocketPath } from '../os/socketpath.ts'

export interface Place {
  readonly address: Address
  /** This process's alone. */
  readonly isExclusive: boolean
  /** Permissions of an exclusive unix socket; null: what the umask says. */
  readonly socketMode: number | null
}

/**
 * Resolves when it listens.
 * @returns the port that was chosen; null on a unix socket.
 * @throws ShiftworkError `ERR_ADDRESS_IN_USE`, `ERR_ADDRESS_DENIED` or `ERR_ADDRESS`.
 */
export async function openServer(server: Server, { address, isExclusive, socketMode }: Place): Promise<number | null> {
  if (address.kind === 'unix') await (isExclusive ? clearPlace(address) : assertDirectory(address))
  const listening = once(server, 'listening')
  try {
    if (address.kind !== 'unix') server.listen({ host: address.host, port: address.port, exclusive: isExclusive })
    else if (isExclusive) openOwnSocket(server, { path: address.path, socketMode })
    else server.listen({ path: address.path })
    await listening
  } catch (error) {
    listening.catch(() => undefined)
    forget(server)
    throw listenFailure(address, systemCode(error) ?? String(error), error)
  }
  server.on('error', (error) => console.error(`shiftwork: ${error.message}`))
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? (bound as AddressInfo).port : null
}

/** What must be let go of, by server. */
const own = new Map<Server, { release: () => void }>()

function openOwnSocket(server: Server, { path, socketMode }: { path: string; socketMode: number | null }): void {
  // held as long as the server: when it closes, libuv removes the file by the same path
  const short = shortSocketPath(path)
  if (own.size === 0) process.on('exit', closeAll)
  own.set(server, short)
  server.once('close', () => forget(server))
  // nobody else may connect before the mode is right
  const umask = socketMode === null ? null : process.umask(0o777 & ~socketMode)
  try {
    server.listen({ path: short.path, exclusive: true })
  } finally {
    if (umask !== null) process.umask(umask)
  }
  if (socketMode !== null && server.listening) chmodSync(path, socketMode)
}

/** A process that exits closes nothing by itself. `http.Server#close` would do more than that. */
function closeAll(): void {
  for (const server of own.keys()) Server.prototype.close.call(server)
}

function forget(server: Server): void {
  const socket = own.get(server)
  if (!socket) return
  own.delete(server)
  if (own.size === 0) process.off('exit', closeAll)
  if (server.listening) Server.prototype.close.call(server)
  socket.release()
}
