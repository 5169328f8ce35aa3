/** `connect`: makes the worker that this process is a client of a server. Checks, and leaves the rest to `Upstream`. */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { ConnectionOptions as TlsClientOptions } from 'node:tls'
import { type Address, formatAddress, isSecure, parseTarget, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { canShortenPaths } from '../os/socketpath.ts'
import type { ConnectionOf, MessageOf, SentOf } from '../protocols/hooks.ts'
import { limitsOf } from '../protocols/limits.ts'
import type { ConnectionOptions } from '../protocols/options.ts'
import type { Protocol } from '../protocols/stream/protocol.ts'
import { type WebSocketChoice, webSocketOf } from '../protocols/websocket/websocket-options.ts'
import { checkConnections } from '../spec/connections.ts'
import { OptionCheck, show } from '../spec/options.ts'
import { MAX_TIMER_MS } from '../spec/spec.ts'
import { nearest } from '../words.ts'
import { openerOf } from './openers.ts'
import { findInside } from './present.ts'
import type { ReconnectTimes } from './reconnect.ts'
import { type Plan, Upstream } from './upstream.ts'

/** How a worker is a client of a server. */
export interface ConnectOptions<Message = unknown, Sent = unknown> extends ConnectionOptions<Message, Sent> {
  /** For looking the name up, connecting and all handshakes together. Default 5 000 ms. */
  connectTimeoutMs?: number
  /**
   * A connection that failed or was lost is tried again: after about `minDelayMs` (100), then twice as long each time,
   * up to `maxDelayMs` (30 000). False: never.
   */
  reconnect?: false | Partial<ReconnectTimes>
  /** For an address inside TLS: options of `tls.connect`, such as `ca`, `servername`, `key` and `cert`. */
  tls?: TlsClientOptions
  /** For `ws://` and `wss://`: more headers of the handshake: `Authorization`, `Cookie`, `Origin` … */
  headers?: Record<string, string>
}

const NAMES = {
  connectTimeoutMs: true,
  reconnect: true,
  tls: true,
  maxMessageBytes: true,
  maxSendBufferBytes: true,
  idleTimeoutMs: true,
  heartbeat: true,
  webSocket: true,
  headers: true,
  protocol: true,
} satisfies Record<keyof ConnectOptions, true>

const DEFAULTS = { connectTimeoutMs: 5_000, minDelayMs: 100, maxDelayMs: 30_000 } as const

/**
 * Opens a connection from this worker to a server; when it fails or is lost, it is tried again. Set the hooks on what is
 * returned. What `onMessage` gets, and what `send` takes, follows from the address.
 * @param address `tcp://host:port`, `text+tls://[ipv6]:port`, `frame+unix:///path`, `wss://host:port/path` …
 * @throws ShiftworkError `ERR_ADDRESS`, `ERR_OPTION`, and `ERR_NOT_IN_WORKER` outside a worker.
 */
export function connect<Target extends string, Message = MessageOf<Target>, Sent = SentOf<Target>>(
  address: Target,
  options: ConnectOptions<Message, Sent> = {},
): Upstream<Message, Sent, ConnectionOf<Target, Sent>> {
  const { upstreams } = findInside('connect')
  return new Upstream<Message, Sent, ConnectionOf<Target, Sent>>(upstreams, checkPlan(address, { ...options }))
}

function checkPlan(text: unknown, options: Readonly<Record<string, unknown>>): Plan {
  if (typeof text !== 'string')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot connect to ${show(text)}`, {
      hint: 'Give the address as text, for example tcp://127.0.0.1:7000.',
    })
  const { address, path } = parseTarget(text, { takesLongPaths: canShortenPaths() })
  openerOf(address)
  const owner = `connect("${text}")`
  rejectUnknown(owner, options)
  const check = new OptionCheck({ owner }, options)
  checkConnections(check, address)
  if (speechOf(address.protocol) === 'websocket') checkHandshake(check, path)
  return {
    address,
    // without its query, which may hold a secret
    name: formatAddress(address) + (path === '/' ? '' : path.replace(/\?.*/, '')),
    path,
    headers: checkHeaders(check, address),
    webSocket: webSocketOf(options['webSocket'] as WebSocketChoice | undefined),
    timeoutMs: check.integer('connectTimeoutMs', DEFAULTS.connectTimeoutMs, 1, MAX_TIMER_MS),
    reconnect: checkReconnect(check),
    tls: checkTls(check, address),
    limits: limitsOf(options),
    protocol: options['protocol'] as Protocol | undefined,
  }
}

function rejectUnknown(owner: string, options: Readonly<Record<string, unknown>>): void {
  const names = Object.keys(NAMES)
  for (const option of Object.keys(options)) {
    if (names.includes(option)) continue
    const guess = nearest(option, names)
    throw new ShiftworkError('ERR_OPTION', `${owner} has an unknown option "${option}"`, {
      hint: guess ? `Did you mean "${guess}"?` : `Known options: ${names.join(', ')}.`,
    })
  }
}

function checkReconnect(check: OptionCheck): ReconnectTimes | null {
  if (check.value('reconnect') === false) return null
  const given = check.value('reconnect') === undefined ? {} : check.object('reconnect', ['minDelayMs', 'maxDelayMs'])
  const inner = new OptionCheck({ owner: `${check.owner}: reconnect` }, given)
  const minDelayMs = inner.integer('minDelayMs', DEFAULTS.minDelayMs, 1, MAX_TIMER_MS)
  const maxDelayMs = inner.integer('maxDelayMs', Math.max(DEFAULTS.maxDelayMs, minDelayMs), minDelayMs, MAX_TIMER_MS)
  return { minDelayMs, maxDelayMs }
}

/** What every try of it would stumble over. */
function checkHandshake(check: OptionCheck, path: string): void {
  if (path.includes('#'))
    throw new ShiftworkError('ERR_ADDRESS', `${check.owner} has a fragment, which no server is told`, {
      hint: 'Leave out # and what follows, or write %23.',
    })
  const { protocols = [] } = (check.value('webSocket') ?? {}) as WebSocketChoice
  const twice = typeof protocols === 'string' ? undefined : protocols.find((name, at) => protocols.indexOf(name) < at)
  if (twice !== undefined)
    throw new ShiftworkError('ERR_OPTION', `${check.owner}: webSocket.protocols has "${twice}" twice`, {
      hint: 'Name each subprotocol once, the best first.',
    })
}

function checkHeaders(check: OptionCheck, address: Address): Record<string, string> {
  if (check.value('headers') === undefined) return {}
  if (speechOf(address.protocol) === 'websocket') return checkHeaderTexts(check)
  throw new ShiftworkError('ERR_OPTION', `${check.owner} has headers, which only the handshake of a WebSocket has`, {
    hint: 'Change the address to ws://… or wss://…, or remove headers.',
  })
}

function checkHeaderTexts(check: OptionCheck): Record<string, string> {
  const headers = check.texts('headers')
  for (const [name, value] of Object.entries(headers))
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch (error) {
      // its value may be a secret
      throw new ShiftworkError('ERR_OPTION', `${check.owner}: the header ${show(name)} cannot be sent`, {
        hint: 'A name is one word of letters, digits and -, a value has no line breaks: trim what was read from a file.',
        cause: error,
      })
    }
  return headers
}

function checkTls(check: OptionCheck, address: Address): TlsClientOptions {
  const tls = check.value('tls')
  if (tls === undefined) return {}
  if (typeof tls === 'object' && tls !== null && isSecure(address.protocol)) return tls
  throw new ShiftworkError('ERR_OPTION', `${check.owner}: tls is ${show(tls)}`, {
    hint: isSecure(address.protocol)
      ? 'It must be an object of options of tls.connect, such as ca.'
      : 'Change the address to one inside TLS, or remove tls.',
  })
}
