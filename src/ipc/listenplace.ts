/**
 * Whether an address can be listened on: what a dead process has left there is taken out of the way, and
 * everything else that the system has against it is a sentence that names who is there. For the master's
 * listeners, and for those that workers open by themselves.
 */
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Address } from '../address.ts'
import { ShiftworkError, systemCode } from '../errors.ts'
import { clearSocketFile, type SocketPlace } from '../os/socketfile.ts'
import { holderHint, holderOf, holderText } from './holder.ts'

type UnixAddress = Extract<Address, { kind: 'unix' }>

/**
 * A socket file that nobody answers on is a leftover and goes; anything else stays and is named.
 * @throws ShiftworkError as `listenFailure` makes it.
 */
export async function clearPlace(address: UnixAddress): Promise<void> {
  assertDirectory(address)
  let found: SocketPlace
  try {
    found = await clearSocketFile(address.path)
  } catch (error) {
    throw listenFailure(address, systemCode(error) ?? String(error), error)
  }
  if (found === 'other')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on ${address.text}: a file that is no socket is there`, {
      hint: `Move ${address.path} away, or choose another path.`,
    })
  if (found === 'answered') throw listenFailure(address, 'EADDRINUSE')
}

/** Looked at first: libuv says EACCES for a directory that is not there. */
export function assertDirectory(address: UnixAddress): void {
  try {
    statSync(dirname(address.path))
  } catch (error) {
    throw listenFailure(address, systemCode(error) ?? String(error), error)
  }
}

/** The sentence for what the system says (`EADDRINUSE`) when an address cannot be had. */
export function listenFailure(address: Address, code: string, cause?: unknown): ShiftworkError {
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
