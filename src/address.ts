/**
 * What `new Worker(listen)` takes, parsed: `http://host:port`, `https://[ipv6]:port`, `text+tls://host:port`,
 * `frame+unix:///path`. Pure; names are resolved where the master binds.
 */
import { isIP } from 'node:net'
import { ShiftworkError } from './errors.ts'
import { nearest } from './words.ts'

/**
 * Where a group listens. `text` is what the user wrote, `protocol` the word before `://` or `+unix`.
 * A `tcp` address may be one of a machine to connect to, as well as one to listen on.
 */
export type Address =
  | { kind: 'tcp'; protocol: Protocol; host: string; port: number; text: string }
  | { kind: 'udp'; protocol: Protocol; host: string; port: number; text: string }
  | { kind: 'unix'; protocol: Protocol; path: string; text: string }

/** One of a host and a port. */
export type PortAddress = Exclude<Address, { kind: 'unix' }>

/** What is spoken under each scheme, and whether inside TLS. */
const SCHEMES = {
  http: { speaks: 'http', isSecure: false },
  https: { speaks: 'http', isSecure: true },
  tcp: { speaks: 'tcp', isSecure: false },
  tls: { speaks: 'tcp', isSecure: true },
  text: { speaks: 'text', isSecure: false },
  'text+tls': { speaks: 'text', isSecure: true },
  frame: { speaks: 'frame', isSecure: false },
  'frame+tls': { speaks: 'frame', isSecure: true },
  websocket: { speaks: 'websocket', isSecure: false },
  wss: { speaks: 'websocket', isSecure: true },
  udp: { speaks: 'udp', isSecure: false },
} as const

/** Other words for the same. */
const ALIASES: Readonly<Record<string, Protocol>> = {
  ws: 'websocket',
  'ws+tls': 'wss',
  'websocket+tls': 'wss',
  'tcp+tls': 'tls',
  'http+tls': 'https',
}

export type Protocol = keyof typeof SCHEMES
/** A protocol without regard to what carries it. */
export type Speech = (typeof SCHEMES)[Protocol]['speaks']

export const PROTOCOLS = Object.keys(SCHEMES) as Protocol[]

export function speechOf(protocol: Protocol): Speech {
  return SCHEMES[protocol].speaks
}

/** The scheme for the same inside TLS; undefined: there is none. */
export function securedBy(protocol: Protocol): Protocol | undefined {
  return PROTOCOLS.find((other) => isSecure(other) && speechOf(other) === speechOf(protocol))
}

/** Whether it is spoken inside TLS. */
export function isSecure(protocol: Protocol): boolean {
  return SCHEMES[protocol].isSecure
}

/** The longest path that fits `sockaddr_un.sun_path` with its closing zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107
/** The longest name of a socket that is reached through a descriptor of its directory, see `os/socketpath`. */
const MAX_SOCKET_NAME_BYTES = 80

export interface ParseOptions {
  /** Whoever uses the address knows how to reach longer socket paths than the kernel takes. Default false. */
  takesLongPaths?: boolean
}

/**
 * Parses a listen address.
 * @throws ShiftworkError `ERR_ADDRESS` with a hint that shows a right one.
 */
export function parseAddress(text: string, options: ParseOptions = {}): Address {
  const scheme = /^([a-z][a-z0-9.-]*(?:\+tls)?)(\+unix)?:\/\/(.*)$/i.exec(text)
  if (!scheme) throw wrong(text, 'it has no scheme', `Write it as http://0.0.0.0:8080 or http+unix:///run/app.sock.`)
  const [, word = '', unix, rest = ''] = scheme
  const protocol = knownProtocol(text, word.toLowerCase())
  return unix ? parseUnix(text, protocol, rest, options) : parsePort(text, protocol, rest)
}

/**
 * Parses an address to connect to. That of a WebSocket may go on with a path and a query.
 * @throws ShiftworkError `ERR_ADDRESS` with a hint that shows a right one.
 */
export function parseTarget(text: string, options: ParseOptions = {}): { address: Address; path: string } {
  const [, place = text, path = '/'] = /^((?:wss?|websocket)(?:\+tls)?:\/\/[^/?#]*)([/?].*)$/i.exec(text) ?? []
  try {
    const address = parseAddress(place, options)
    if (hasAnyPort(address)) throw wrong(text, 'nobody listens on port 0', 'Write the port that the server listens on.')
    return { address, path: path.startsWith('/') ? path : `/${path}` }
  } catch (error) {
    if (!(error instanceof ShiftworkError)) throw error
    throw new ShiftworkError(error.code, error.message.replace('listen on', 'connect to'), { hint: error.hint })
  }
}

function knownProtocol(text: string, word: string): Protocol {
  const protocol = ALIASES[word] ?? PROTOCOLS.find((known) => known === word)
  if (protocol) return protocol
  const guess = nearest(word, PROTOCOLS)
  const hint = guess ? `Did you mean ${guess}://?` : `Known protocols: ${PROTOCOLS.join(', ')}.`
  throw wrong(text, `"${word}" is no known protocol`, hint)
}

function parsePort(text: string, protocol: Protocol, rest: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:/?#@\s]+)):(\d+)\/?$/.exec(rest)
  if (!match) {
    if (/^[^:/]+\/?$/.test(rest) || /^\[[^\]]+\]\/?$/.test(rest))
      throw wrong(text, 'it has no port', `Add one: ${protocol}://${rest.replace(/\/$/, '')}:8080.`)
    throw wrong(text, 'it is not host:port', `Write it as ${protocol}://0.0.0.0:8080 or ${protocol}://[::]:8080.`)
  }
  const host = match[1] ?? match[2] ?? ''
  const port = Number(match[3])
  if (port > 65535) throw wrong(text, `port ${port} is above 65535`, 'Choose a port from 0 (any free one) to 65535.')
  return { kind: speechOf(protocol) === 'udp' ? 'udp' : 'tcp', protocol, host, port, text }
}

function parseUnix(text: string, protocol: Protocol, path: string, options: ParseOptions): Address {
  if (speechOf(protocol) === 'udp')
    throw wrong(
      text,
      'Node.js knows no datagrams on unix sockets',
      'Use udp://127.0.0.1:port, or frame+unix:///path, which keeps messages apart too.',
    )
  if (!path.startsWith('/'))
    throw wrong(text, 'the socket path is not absolute', `Use three slashes: ${protocol}+unix:///run/app.sock.`)
  const fault = pathFault(path, options)
  if (fault !== null) throw wrong(text, fault, 'Choose a shorter path.')
  return { kind: 'unix', protocol, path, text }
}

function pathFault(path: string, { takesLongPaths = false }: ParseOptions): string | null {
  if (!isLongPath(path)) return null
  if (!takesLongPaths)
    return `the socket path has ${Buffer.byteLength(path)} bytes, the kernel takes ${MAX_SOCKET_PATH_BYTES}`
  const bytes = Buffer.byteLength(path.slice(path.lastIndexOf('/') + 1))
  return bytes > MAX_SOCKET_NAME_BYTES ? `the socket's name has ${bytes} bytes, ${MAX_SOCKET_NAME_BYTES} fit` : null
}

/** Whether a socket path is longer than the kernel takes. */
export function isLongPath(path: string): boolean {
  return Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES
}

function wrong(text: string, why: string, hint: string): ShiftworkError {
  return new ShiftworkError('ERR_ADDRESS', `Cannot listen on "${text}": ${why}`, { hint })
}

/** Two addresses that mean the same listener have the same key. */
export function addressKey(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `${address.kind}:${address.host}:${address.port}`
}

/** `http://[::1]:8080`, with the port that was really bound. */
export function formatAddress(address: Address, boundPort?: number): string {
  if (address.kind === 'unix') return `${address.protocol}+unix://${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${address.protocol}://${host}:${boundPort ?? address.port}`
}

/** Whether any free port is asked for: what it will be is not known before it is bound. */
export function hasAnyPort(address: Address): boolean {
  return address.kind !== 'unix' && address.port === 0
}

/**
 * Whether two addresses cannot both be bound: one port of one kind, and not two different addresses of the
 * machine. What a name stands for is not known here: it may be any of them.
 */
export function overlaps(one: Address, other: Address): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') return false
  if (one.kind !== other.kind || one.port !== other.port) return false
  return !isOneIp(one.host) || !isOneIp(other.host) || one.host === other.host
}

function isOneIp(host: string): boolean {
  return isIP(host) !== 0 && host !== '0.0.0.0' && host !== '::'
}
