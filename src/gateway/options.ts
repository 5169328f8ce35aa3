/** The options of gateways and of those who talk to them, checked; what they are where the user has said nothing. */
import { ShiftworkError } from '../index.ts'
import { parseBusAddress } from './bus/address.ts'

/** What a gateway keeps for clients whose messages are not handled yet. */
export interface QueueOptions {
  /** Of one client, those that a worker has not acknowledged counted in. Default 1 000. */
  maxMessages?: number
  /** Of one client. Default 1 MiB. */
  maxBytes?: number
  /** Of all clients of a gateway process. Default 64 MiB. */
  maxTotalBytes?: number
  /** How long a message waits for a worker before `overflow` happens to it, unless that is `wait`. Default 30 000 ms. */
  maxMs?: number
  /**
   * Beyond that: `wait`: nothing more is read from the client until there is room · `drop`: the eldest of its messages
   * that no worker has are dropped · `close`: it is sent away, over WebSocket with 1013. Default `wait`.
   */
  overflow?: 'wait' | 'drop' | 'close'
}

export type QueueLimits = Required<QueueOptions>

/** What a worker that was killed had not acknowledged: handed to another, marked; or lost. */
export type DeliveryMode = 'at-least-once' | 'at-most-once'

/** How gateways are found. */
export interface LinkOptions {
  /**
   * The directory where the gateways have their sockets. Default: `links` in the state directory, and to look for
   * gateways also those of the other start files in the same folder.
   */
  linkDir?: string
  /** Default 5 000 ms: a command that has no answer by then is rejected, or says who is missing. */
  deadlineMs?: number
  /**
   * `redis://host:port`, `rediss://user:password@host:port/namespace`: reach the gateways of other machines, too, those of
   * the same namespace. Needs the package `redis`. Default: this machine alone.
   */
  bus?: string | undefined
}

export interface GatewaySettings {
  readonly queue: QueueLimits
  readonly delivery: DeliveryMode
  readonly maxSessionBytes: number
}

const DEFAULTS: GatewaySettings = {
  queue: {
    maxMessages: 1_000,
    maxBytes: 1024 * 1024,
    maxTotalBytes: 64 * 1024 * 1024,
    maxMs: 30_000,
    overflow: 'wait',
  },
  delivery: 'at-least-once',
  maxSessionBytes: 16 * 1024,
}

const OVERFLOWS: readonly unknown[] = ['wait', 'drop', 'close']
const MODES: readonly unknown[] = ['at-least-once', 'at-most-once']
/** A message of a client, or of a command: it must fit into a packet. */
export const MAX_DATA_BYTES = 32 * 1024 * 1024
export const DEFAULT_DEADLINE_MS = 5_000
/** What a business worker is told of a client must fit into a packet, too. */
const MAX_SESSION_BYTES = 4 * 1024 * 1024
/** Longer ones end at once (setTimeout). */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** @throws ShiftworkError `ERR_OPTION` */
export function checkGateway(options: Readonly<Record<string, unknown>>): GatewaySettings {
  checkListen(options['listen'])
  const { queue = {}, delivery = DEFAULTS.delivery, maxSessionBytes = DEFAULTS.maxSessionBytes } = options
  if (typeof queue !== 'object' || queue === null) wrong('queue', queue, 'an object')
  for (const name of Object.keys(queue as object)) if (!Object.hasOwn(DEFAULTS.queue, name)) unknownMember(name)
  const limits = { ...DEFAULTS.queue, ...(queue as QueueOptions) }
  for (const name of ['maxMessages', 'maxBytes', 'maxTotalBytes', 'maxMs'] as const)
    if (!isCount(limits[name])) wrong(`queue.${name}`, limits[name], 'a whole number above 0')
  if (!OVERFLOWS.includes(limits.overflow)) wrong('queue.overflow', limits.overflow, OVERFLOWS.join(', '))
  if (!MODES.includes(delivery)) wrong('delivery', delivery, MODES.join(' or '))
  if (!isCount(maxSessionBytes)) wrong('maxSessionBytes', maxSessionBytes, 'a whole number above 0')
  if ((maxSessionBytes as number) > MAX_SESSION_BYTES)
    wrong('maxSessionBytes', maxSessionBytes, `at most ${MAX_SESSION_BYTES}`)
  checkLinks('Gateway', options)
  const { maxMessageBytes } = options
  if (isCount(maxMessageBytes) && (maxMessageBytes as number) > MAX_DATA_BYTES)
    wrong('maxMessageBytes', maxMessageBytes, `at most ${MAX_DATA_BYTES} behind a gateway`)
  return { queue: limits, delivery: delivery as DeliveryMode, maxSessionBytes: maxSessionBytes as number }
}

/** What has connections that stay, and messages both ways. */
function checkListen(listen: unknown): void {
  const wrongly = typeof listen !== 'string' ? 'nowhere' : /^(https?|udp)\b/i.exec(listen)?.[0]
  if (wrongly === undefined) return
  const on = wrongly === 'nowhere' ? wrongly : `on ${listen}`
  throw new ShiftworkError('ERR_OPTION', `Gateway: it listens ${on}, and its clients must stay connected`, {
    hint: 'Choose websocket://, wss://, tcp://, tls://, text:// or frame://, for HTTP and UDP a Worker.',
  })
}

/** How gateways are found and asked. @throws ShiftworkError `ERR_OPTION` */
export function checkLinks(owner: string, { linkDir, deadlineMs, bus }: Readonly<Record<string, unknown>>): void {
  if (linkDir !== undefined && (typeof linkDir !== 'string' || linkDir === ''))
    wrong('linkDir', linkDir, 'the path of a directory', owner)
  if (deadlineMs !== undefined && !(isCount(deadlineMs) && (deadlineMs as number) <= MAX_TIMER_MS))
    wrong('deadlineMs', deadlineMs, `a whole number from 1 to ${MAX_TIMER_MS}`, owner)
  if (bus !== undefined) parseBusAddress(bus, owner)
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0
}

function unknownMember(name: string): never {
  throw new ShiftworkError('ERR_OPTION', `Gateway: queue has an unknown member "${name}"`, {
    hint: `Known members: ${Object.keys(DEFAULTS.queue).join(', ')}.`,
  })
}

function wrong(name: string, value: unknown, expected: string, owner = 'Gateway'): never {
  throw new ShiftworkError('ERR_OPTION', `${owner}: ${name} is ${JSON.stringify(value)}`, {
    hint: `It must be ${expected}.`,
  })
}
