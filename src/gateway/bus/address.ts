/** Where the bus is, as users say it: `redis://user:password@host:port/namespace`. The password is in no message. */
import { ShiftworkError } from '../../index.ts'

export interface BusAddress {
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  /** Fleets with other namespaces do not meet. */
  readonly namespace: string
  /** For people. */
  readonly shown: string
}

const DEFAULT_PORT = 6379
const DEFAULT_NAMESPACE = 'default'
const NAMESPACE = /^[\w.-]{1,64}$/

/** @throws ShiftworkError `ERR_OPTION`, which does not repeat what may hold a password. */
export function parseBusAddress(text: unknown, owner = 'Gateway'): BusAddress {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null
  if (!url || url.hostname === '' || (url.protocol !== 'redis:' && url.protocol !== 'rediss:'))
    throw wrong(owner, 'is no address of a Redis')
  if (url.search !== '' || url.hash !== '') throw wrong(owner, 'has something behind its path')
  const namespace = url.pathname.replace(/^\//, '') || DEFAULT_NAMESPACE
  if (!NAMESPACE.test(namespace))
    throw wrong(owner, 'has a path that is no namespace: letters, digits, and . _ -, at most 64')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  return {
    host,
    port,
    isTls: url.protocol === 'rediss:',
    username: plain(url.username, owner),
    password: plain(url.password, owner),
    namespace,
    shown: `${url.protocol}//${url.hostname}:${port}/${namespace}`,
  }
}

function plain(text: string, owner: string): string | undefined {
  if (text === '') return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong(owner, 'has a user or a password with a % that is not encoded')
  }
}

function wrong(owner: string, what: string): ShiftworkError {
  return new ShiftworkError('ERR_OPTION', `${owner}: bus ${what}`, {
    hint: "Say it as 'redis://host:6379', or 'rediss://user:password@host:6379/namespace'.",
  })
}
