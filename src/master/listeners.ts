/**
 * The listeners of a fleet: bound once, before the first fork, and held for the master's life, so
 * that a port never disappears while workers come and go. The master never accepts on them. This is
 * the only file that binds through a private function of Node.js (`net._createServerHandle`, in
 * every version from 0.x to 26; for UDP there is `datagrams`); `assertNodeInternals` looks for it at start.
 */

import { lookup } from 'node:dns/promises'
import { chmodSync, chownSync, lstatSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { dirname } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { type Address, formatAddress, type PortAddress } from '../address.ts'
import { describeError, ShiftworkError, systemCode } from '../errors.ts'
import { holderHint, holderOf, holderText } from '../ipc/holder.ts'
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
    throw failure(address, 'EADDRINUSE')
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
    throw failure(address, getSystemErrorName(error))
  }
  const out: { port?: number } = {}
  handle.getsockname(out)
  const port = out.port ?? 0
  return { handle, text: formatAddress(address, port), port, close: () => handle.close() }
}

/** Where an ordinary server of the master's own may listen: the host looked up, a dead socket file out of the way. */
export async function placeOf(address: Address): Promise<{ host: string; port: number } | { path: string }> {
  if (address.kind !== 'unix') return { host: (await resolveHost(address)).address, port: address.port }
  assertDirectory(address)
  await clearStaleSocket(address)
  return { path: address.path }
}

async function resolveHost(address: PortAddress): Promise<{ address: string; family: number }> {
  try {
    return await lookup(address.host)
  } catch (error) {
    throw failure(address, systemCode(error) ?? String(error), error)
  }
}

async function bindUnix(address: Extract<Address, { kind: 'unix' }>, options: ListenOptions): Promise<Listener> {
  assertDirectory(address)
  await clearStaleSocket(address)
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
    throw failure(address, systemCode(error) ?? String(error), error)
  }
  return { handle, text: formatAddress(address), port: null, close: () => handle.close() }
}

/** Looked at first: libuv says EACCES for a directory that is not there. */
function assertDirectory(address: Extract<Address, { kind: 'unix' }>): void {
  try {
    statSync(dirname(address.path))
  } catch (error) {
    throw failure(address, systemCode(error) ?? String(error), error)
  }
}

function ownerIds(owner: string): [uid: number, gid: number] {
  const { uid, gid } = userIds(...(owner.split(':', 2) as [string, string?]))
  return [uid, gid]
}

/** A socket file that nobody answers on is a leftover and goes; anything else stays and is named. */
async function clearStaleSocket(address: Extract<Address, { kind: 'unix' }>): Promise<void> {
  let isSocket: boolean
  try {
    isSocket = lstatSync(address.path).isSocket()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw failure(address, systemCode(error) ?? String(error), error)
  }
  if (!isSocket)
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on ${address.text}: a file that is no socket is there`, {
      hint: `Move ${address.path} away, or choose another path.`,
    })
  if (await isAnswered(address.path)) throw failure(address, 'EADDRINUSE')
  rmSync(address.path, { force: true })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // a full backlog answers EAGAIN: somebody lives there
    socket.once('error', (error) => resolve(systemCode(error) === 'EAGAIN'))
  })
}

function create(address: Address, ip: string, port: number, family: number): ListenHandle {
  const result = (net as NodeInternals)._createServerHandle?.(ip, port, family)
  if (result === undefined || typeof result === 'number') throw failure(address, getSystemErrorName(result ?? -1))
  return result
}

/** The sentence for what the system says (`EADDRINUSE`) when an address cannot be had. */
export function failure(address: Address, code: string, cause?: unknown): ShiftworkError {
  const sentence = `Cannot listen on ${address.text}`
  switch (code) {
    case 'EADDRINUSE': {
      const holder = holderOf(address)
      const by = holder ? ` by ${holderText(holder)}` : ''
      const details = { hint: holderHint(holder), cause }
      return new ShiftworkError('ERR_ADDRESS_IN_USE', `${sentence}: address already in use${by}`, details)
    }
    case 'EACCES':
    case 'EPERM': {
      const hint =
        address.kind !== 'unix' && address.port < 1024
          ? 'Ports below 1024 need root or the capability cap_net_bind_service; start as root and give the worker a user.'
          : 'Choose a place that this user may write to.'
      return new ShiftworkError('ERR_ADDRESS_DENIED', `${sentence}: permission denied`, { hint, cause })
    }
    case 'EADDRNOTAVAIL':
      return new ShiftworkError('ERR_ADDRESS', `${sentence}: this machine has no such address`, {
        hint: 'Use 0.0.0.0 or [::] for every address of this machine.',
        cause,
      })
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ShiftworkError('ERR_ADDRESS', `${sentence}: the host name is not known`, {
        hint: 'Use an address of this machine, or 0.0.0.0 for every one.',
        cause,
      })
    case 'ENOENT':
    case 'ENOTDIR':
      return new ShiftworkError('ERR_ADDRESS', `${sentence}: its directory does not exist`, {
        hint: 'Create the directory first.',
        cause,
      })
    default:
      return new ShiftworkError('ERR_ADDRESS', `${sentence}: ${code}`, { cause })
  }
}

/** What `bindListener` has thrown, as a reload tells it. */
export function bindFailure(thrown: unknown): { failure: Failure; inUse: boolean } {
  const { message } = describeError(thrown)
  const known = thrown instanceof ShiftworkError ? thrown : null
  const stack = known?.hint === undefined ? message : `${message}\n${known.hint}`
  return { failure: { message, stack }, inUse: known?.code === 'ERR_ADDRESS_IN_USE' }
}
