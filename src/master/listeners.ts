/**
 * The listeners of a fleet: bound once, before the first fork, and held for the master's life, so
 * that a port never disappears while workers come and go. The master never accepts on them. This is
 * the only file that binds through a private function of Node.js (`net._createServerHandle`, in
 * every version from 0.x to 26; for UDP there is `datagrams`); `assertNodeInternals` looks for it at start.
 */

import { lookup } from 'node:dns/promises'
import { chmodSync, chownSync } from 'node:fs'
import net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { type Address, formatAddress, type PortAddress } from '../address.ts'
import { describeError, ShiftworkError, systemCode } from '../errors.ts'
import { clearPlace, listenFailure } from '../ipc/listenplace.ts'
import type { Failure } from '../ipc/status.ts'
import { userIds } from '../os/users.ts'
import { canHoldDatagrams, createDatagramHandle } from './datagrams.ts'

/** A bound socket that another process can be given with `child.send(message, handle)`. */
export interface Listener {
  readonly handle: ListenHandle
  /** The address as it is shown, with the port that was chosen. */
  readonly text: string
  /** The port that was chosen for port 0; null on a unix socket. */
  readonly port: number | null
  close(): void
}

interface ListenHandle {
  close(): void
  getsockname?(out: { port?: number }): number
}

interface NodeInternals {
  _createServerHandle?: (address: string, port: number, addressType: number) => ListenHandle | number
}

export interface ListenOptions {
  socketMode: number | null
  socketOwner: string | null
}

/** @throws ShiftworkError `ERR_NODE_INTERNALS` on a Node.js that lacks what this file stands on. */
export function assertNodeInternals(): void {
  if (typeof (net as NodeInternals)._createServerHandle !== 'function' || !canHoldDatagrams()) throw unsupported()
}

function unsupported(): ShiftworkError {
  return new ShiftworkError('ERR_NODE_INTERNALS', `Node.js ${process.version} is not supported by this version`, {
    hint: 'Use a Node.js that the README names, or a newer version of Shiftwork.',
  })
}

/**
 * Binds an address; the first worker that listens on it opens it to clients. Datagrams come from now on,
 * and wait.
 * @throws ShiftworkError `ERR_ADDRESS_IN_USE`, `ERR_ADDRESS_DENIED` or `ERR_ADDRESS`.
 */
export async function bindListener(address: Address, options: ListenOptions): Promise<Listener> {
  switch (address.kind) {
    case 'tcp':
      return bindTcp(address)
    case 'udp':
      return bindUdp(address)
    case 'unix':
      return bindUnix(address, options)
  }
}

async function bindTcp(address: PortAddress): Promise<Listener> {
  const { address: ip, family } = await resolveHost(address)
  const handle = create(address, ip, address.port, family)
  const out: { port?: number } = {}
  handle.getsockname?.(out)
  const port = out.port ?? 0
  // libuv keeps EADDRINUSE for listen(): a socket that has not got its port is not bound
  if (port === 0 || (address.port !== 0 && port !== address.port)) {
    handle.close()
    throw listenFailure(address, 'EADDRINUSE')
  }
  return { handle, text: formatAddress(address, port), port, close: () => handle.close() }
}

async function bindUdp(address: PortAddress): Promise<Listener> {
  const { address: ip, family } = await resolveHost(address)
  const handle = createDatagramHandle(family)
  if (!handle) throw unsupported()
  const error = handle.bind(ip, address.port, 0)
  if (error !== 0) {
    handle.close()
    throw listenFailure(address, getSystemErrorName(error))
  }
  const out: { port?: number } = {}
  handle.getsockname(out)
  const port = out.port ?? 0
  return { handle, text: formatAddress(address, port), port, close: () => handle.close() }
}

/** Where an ordinary server of the master's own may listen: the host looked up, a dead socket file out of the way. */
export async function placeOf(address: Address): Promise<{ host: string; port: number } | { path: string }> {
  if (address.kind !== 'unix') return { host: (await resolveHost(address)).address, port: address.port }
  await clearPlace(address)
  return { path: address.path }
}

async function resolveHost(address: PortAddress): Promise<{ address: string; family: number }> {
  try {
    return await lookup(address.host)
  } catch (error) {
    throw listenFailure(address, systemCode(error) ?? String(error), error)
  }
}

async function bindUnix(address: Extract<Address, { kind: 'unix' }>, options: ListenOptions): Promise<Listener> {
  await clearPlace(address)
  const umask = process.umask(options.socketMode === null ? process.umask() : 0o777 & ~options.socketMode)
  let handle: ListenHandle
  try {
    handle = create(address, address.path, -1, -1)
  } finally {
    process.umask(umask)
  }
  try {
    if (options.socketMode !== null) chmodSync(address.path, options.socketMode)
    if (options.socketOwner !== null) chownSync(address.path, ...ownerIds(options.socketOwner))
  } catch (error) {
    handle.close()
    if (error instanceof ShiftworkError) throw error
    throw listenFailure(address, systemCode(error) ?? String(error), error)
  }
  return { handle, text: formatAddress(address), port: null, close: () => handle.close() }
}

function ownerIds(owner: string): [uid: number, gid: number] {
  const { uid, gid } = userIds(...(owner.split(':', 2) as [string, string?]))
  return [uid, gid]
}

function create(address: Address, ip: string, port: number, family: number): ListenHandle {
  const result = (net as NodeInternals)._createServerHandle?.(ip, port, family)
  if (result === undefined || typeof result === 'number') throw listenFailure(address, getSystemErrorName(result ?? -1))
  return result
}

/** What `bindListener` has thrown, as a reload tells it. */
export function bindFailure(thrown: unknown): { failure: Failure; inUse: boolean } {
  const { message } = describeError(thrown)
  const known = thrown instanceof ShiftworkError ? thrown : null
  const stack = known?.hint === undefined ? message : `${message}\n${known.hint}`
  return { failure: { message, stack }, inUse: known?.code === 'ERR_ADDRESS_IN_USE' }
}
