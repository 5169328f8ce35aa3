/**
 * The protocols of connections as a client speaks them: how a message looks on the wire, what is too long, what makes
 * no sense. One adapter for each; the conformance suite knows no other difference between them.
 */

import { closeFrame, frame, OPCODES, parseFrame } from './frames.ts'

/** What stands at the beginning of the bytes that came. */
export interface Heard {
  messages: string[]
  /** How many bytes they take. */
  taken: number
  /** What the protocol itself answers. */
  reply?: Buffer
}

export interface Speech {
  readonly name: string
  /** What stands before `://` in the address: plain, inside TLS, and before `+unix`. */
  readonly schemes: { readonly plain: string; readonly tls: string; readonly unix: string }
  /** More options of its workers, as text. */
  readonly options: string
  /** Not bytes without limits: a message may be too long, and bytes may make no sense. */
  readonly isBounded: boolean
  /** A client that has ended can still be answered, and one that sends no more is still heard. */
  readonly hasHalves: boolean
  /** What a client sends first, before any message. */
  readonly greeting?: Buffer
  /** And what it sends last. */
  readonly farewell?: Buffer
  /** @returns how many bytes the answer to the greeting takes; 0: it is not whole. */
  welcome?(bytes: Buffer): number
  encode(message: string): Buffer
  /** Whole messages from the beginning of these bytes. */
  decode(bytes: Buffer): Heard
  /** A message that takes exactly so many bytes on the wire. */
  sized(bytes: number): Buffer
  /** The answer to a ping; a ping itself is the message `ping`. */
  readonly pong: Buffer
  /** Bytes that are no message. */
  readonly garbage: Buffer
  /** What `onError` is told of them. */
  readonly complaint: RegExp
}

/** The messages between one separator and the next. */
function split(bytes: Buffer, separator: string): Heard {
  const taken = bytes.lastIndexOf(separator) + separator.length
  if (taken < separator.length) return { messages: [], taken: 0 }
  return { messages: bytes.toString('utf8', 0, taken).split(separator).slice(0, -1), taken }
}

/** `sized`, for a protocol that adds so many bytes to a message. */
function ofSize(encode: (message: string) => Buffer, overheadBytes: number): (bytes: number) => Buffer {
  return (bytes) => encode('x'.repeat(bytes - overheadBytes))
}

const TOO_LARGE = /^error ERR_MESSAGE_TOO_LARGE$/

const encodeLine = (message: string): Buffer => Buffer.from(`${message}\n`)

const TEXT: Speech = {
  name: 'text',
  schemes: { plain: 'text', tls: 'text+tls', unix: 'text' },
  options: '',
  isBounded: true,
  hasHalves: true,
  encode: encodeLine,
  decode: (bytes) => split(bytes, '\n'),
  sized: ofSize(encodeLine, 1),
  pong: encodeLine('pong'),
  // all of it is a line that has no end
  garbage: Buffer.alloc(200_000, 0xff),
  complaint: TOO_LARGE,
}

const HEAD_BYTES = 4

function encodeFrame(message: string): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(HEAD_BYTES + Buffer.byteLength(message))
  return Buffer.concat([head, Buffer.from(message)])
}

function decodeFrames(bytes: Buffer): Heard {
  const messages: string[] = []
  let taken = 0
  while (bytes.length - taken >= HEAD_BYTES) {
    const length = bytes.readUInt32BE(taken)
    if (bytes.length - taken < length) break
    messages.push(bytes.toString('utf8', taken + HEAD_BYTES, taken + length))
    taken += length
  }
  return { messages, taken }
}

const FRAME: Speech = {
  name: 'frame',
  schemes: { plain: 'frame', tls: 'frame+tls', unix: 'frame' },
  options: '',
  isBounded: true,
  hasHalves: true,
  encode: encodeFrame,
  decode: decodeFrames,
  sized: ofSize(encodeFrame, HEAD_BYTES),
  pong: encodeFrame('pong'),
  garbage: Buffer.of(0, 0, 0, 3, 1),
  complaint: /^error a frame says that it has 3 bytes/,
}

/** Bytes as they come: its messages end with a semicolon that the app itself looks for. */
const TCP: Speech = {
  name: 'tcp',
  schemes: { plain: 'tcp', tls: 'tls', unix: 'tcp' },
  options: '',
  isBounded: false,
  hasHalves: true,
  encode: (message) => Buffer.from(`${message};`),
  decode: (bytes) => split(bytes, ';'),
  sized: (bytes) => Buffer.from(`${'x'.repeat(bytes - 1)};`),
  pong: Buffer.from('pong;'),
  garbage: Buffer.alloc(0),
  complaint: /^$/,
}

/** Of a user: `<length in decimal digits>:<message>,` (a netstring). */
const encodeNetstring = (message: string): Buffer => Buffer.from(`${Buffer.byteLength(message)}:${message},`)

const OWN: Speech = {
  name: 'own',
  schemes: { plain: 'tcp', tls: 'tls', unix: 'tcp' },
  options: `protocol: {
    input(buffer) {
      const colon = buffer.indexOf(58)
      if (colon < 0) return buffer.length > 10 ? NaN : 0
      const length = Number(buffer.toString('latin1', 0, colon))
      if (!Number.isInteger(length) || length < 0) throw new Error('that is no length')
      return colon + 1 + length + 1
    },
    decode: (bytes) => bytes.toString('utf8', bytes.indexOf(58) + 1, bytes.length - 1),
    encode: (text) => Buffer.byteLength(text) + ':' + text + ',',
  },`,
  isBounded: true,
  hasHalves: true,
  encode: encodeNetstring,
  decode(bytes) {
    const messages: string[] = []
    let taken = 0
    for (;;) {
      const colon = bytes.indexOf(':', taken)
      const end = colon + 1 + Number(bytes.toString('latin1', taken, colon))
      if (colon < 0 || end >= bytes.length) return { messages, taken }
      messages.push(bytes.toString('utf8', colon + 1, end))
      taken = end + 1
    }
  },
  sized: (bytes) => encodeNetstring('x'.repeat(bytes - 2 - String(bytes - 8).length)),
  pong: encodeNetstring('pong'),
  garbage: Buffer.from('twelve:garbage,'),
  complaint: /^error that is no length$/,
}

const encodeWebSocket = (message: string): Buffer => frame(OPCODES.text, message)

const WEBSOCKET: Speech = {
  name: 'websocket',
  schemes: { plain: 'websocket', tls: 'wss', unix: 'websocket' },
  options: '',
  isBounded: true,
  hasHalves: false,
  greeting: Buffer.from(
    'GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  ),
  farewell: closeFrame(1000),
  welcome(bytes) {
    const end = bytes.indexOf('\r\n\r\n')
    if (end >= 0 && !bytes.subarray(0, end).includes(' 101 ')) throw new Error(`not upgraded: ${bytes}`)
    return end < 0 ? 0 : end + 4
  },
  encode: encodeWebSocket,
  decode(bytes) {
    const heard: Heard = { messages: [], taken: 0 }
    for (;;) {
      const parsed = parseFrame(bytes.subarray(heard.taken))
      if (!parsed) return heard
      heard.taken += parsed.end
      const { opcode, payload } = parsed.frame
      if (opcode === OPCODES.close) heard.reply = frame(OPCODES.close, payload)
      else heard.messages.push(opcode === OPCODES.ping ? 'ping' : payload.toString())
    }
  },
  sized: ofSize(encodeWebSocket, 0),
  pong: frame(OPCODES.pong),
  // a client must mask its frames
  garbage: frame(OPCODES.text, 'garbage', { isMasked: false }),
  complaint: /^error WS_ERR_EXPECTED_MASK$/,
}

export const SPEECHES: readonly Speech[] = [TCP, TEXT, FRAME, OWN, WEBSOCKET]

export function speechOf(name: string): Speech {
  const speech = SPEECHES.find((candidate) => candidate.name === name)
  if (!speech) throw new Error(`nobody speaks ${name}`)
  return speech
}
