/**
 * The options of a worker's connections, and of those that it opens. They stay with the Worker in its
 * process, as hooks do, so what is checked here is not part of the spec. Pure.
 */
import { type Address, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { OptionCheck, show } from './options.ts'
import { MAX_TIMER_MS } from './spec.ts'

export const CONNECTION_DEFAULTS = {
  maxMessageBytes: 10 * 1024 * 1024,
  maxSendBufferBytes: 1024 * 1024,
  idleTimeoutMs: 0,
  maxMissed: 2,
  thresholdBytes: 1024,
} as const

const CODEC = ['input', 'decode', 'encode'] as const

/** @throws ShiftworkError `ERR_OPTION` for the first that is wrong. */
export function checkConnections(check: OptionCheck, address: Address | null): void {
  const isWebSocket = address !== null && speechOf(address.protocol) === 'websocket'
  // none at all would be without a limit there
  check.optionalInteger('maxMessageBytes', isWebSocket ? 1 : 0, Number.MAX_SAFE_INTEGER)
  check.optionalInteger('maxSendBufferBytes', 1, Number.MAX_SAFE_INTEGER)
  check.optionalInteger('idleTimeoutMs', 0, MAX_TIMER_MS)
  checkHeartbeat(check, address)
  checkProtocol(check, address)
  checkWebSocket(check, isWebSocket)
}

function checkHeartbeat(check: OptionCheck, address: Address | null): void {
  if (check.value('heartbeat') === undefined) return
  const members = check.object('heartbeat', ['everyMs', 'maxMissed', 'data'])
  const inner = new OptionCheck({ owner: `${check.owner}: heartbeat` }, members)
  if (inner.optionalInteger('everyMs', 1, MAX_TIMER_MS) === null)
    throw new ShiftworkError('ERR_OPTION', `${check.owner}: heartbeat has no everyMs`, {
      hint: 'Write how often a silent client is asked: heartbeat: { everyMs: 30_000 }.',
    })
  inner.optionalInteger('maxMissed', 1, 1_000)
  const speech = address ? speechOf(address.protocol) : null
  if (speech === 'http' || speech === 'udp' || speech === null)
    throw new ShiftworkError(
      'ERR_OPTION',
      `${check.owner} has a heartbeat, which ${speech ?? 'no listener'} does not know`,
      {
        hint: 'Remove it, or speak websocket, text, frame or tcp.',
      },
    )
  if (speech !== 'websocket' && members['data'] === undefined)
    throw new ShiftworkError('ERR_OPTION', `${check.owner}: heartbeat has no data`, {
      hint: `${speech}:// has no ping of its own: write what is sent, heartbeat: { everyMs: 30_000, data: 'ping' }.`,
    })
}

function checkProtocol(check: OptionCheck, address: Address | null): void {
  const protocol = check.value('protocol')
  if (protocol === undefined) return
  const missing = CODEC.find((member) => typeof (protocol as Record<string, unknown> | null)?.[member] !== 'function')
  if (missing !== undefined)
    throw new ShiftworkError('ERR_OPTION', `${check.owner}: protocol is ${show(protocol)} without ${missing}`, {
      hint: 'It is an object with three functions: input, decode and encode.',
    })
  if (address && speechOf(address.protocol) === 'tcp') return
  throw new ShiftworkError('ERR_OPTION', `${check.owner} has a protocol of its own, but not on top of bytes`, {
    hint: 'Change the address to tcp://…, tls://… or tcp+unix:///…, or remove protocol.',
  })
}

/** A token of HTTP (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

function checkWebSocket(check: OptionCheck, isWebSocket: boolean): void {
  if (check.value('webSocket') === undefined) return
  if (!isWebSocket)
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has webSocket, but not an address of WebSockets`, {
      hint: 'Change the address to websocket://…, wss://… or websocket+unix:///…, or remove webSocket.',
    })
  const members = check.object('webSocket', ['protocols', 'compression'])
  const inner = new OptionCheck({ owner: `${check.owner}: webSocket` }, members)
  const wrong = inner.strings('protocols').find((protocol) => !TOKEN.test(protocol))
  if (wrong !== undefined)
    throw new ShiftworkError('ERR_OPTION', `${check.owner}: webSocket.protocols has ${show(wrong)}`, {
      hint: "A subprotocol is one word of letters, digits and !#$%&'*+-.^_`|~: chat.v2.",
    })
  const { compression } = members
  if (typeof compression !== 'object') return void inner.boolean('compression', false)
  const options = inner.object('compression', ['thresholdBytes'])
  new OptionCheck({ owner: `${check.owner}: webSocket.compression` }, options).optionalInteger(
    'thresholdBytes',
    0,
    2 ** 31 - 1,
  )
}
