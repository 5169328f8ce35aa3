/**
 * The `websocket://` and `wss://` server of a worker: a `node:http` server whose upgrades become connections
 * (RFC 6455), and whose other requests go to `onRequest`. Frames, handshakes and compression (RFC 7692) are the
 * work of `ws`, which is known here only (`websocket-client` has it from here), and loaded only by workers that speak it.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import type { Protocol as Scheme } from '../../address.ts'
import type { Owner } from '../connection.ts'
import type { Runnable } from '../hooks.ts'
import { afterAnswers, refuse } from '../http/answer.ts'
import { createRequestServer, hasForeignListener, type Web } from '../http/http.ts'
import type { ConnectionLimits } from '../limits.ts'
import { endGently } from '../linger.ts'
import { takeUpgrades } from '../upgrades.ts'
import { WebSocketConnection } from './websocket-connection.ts'
import type { WebSocketOptions } from './websocket-options.ts'
import { encodeRefusal } from './websocket-refusal.ts'
import { WebSocketRequest } from './websocket-request.ts'
import type { Wire } from './websocket-wire.ts'

/** A client that is told goodbye may be slow to take what was sent before, but not for ever. */
const CLOSE_TIMEOUT_MS = 120_000
/** `ws` keeps its limit in 32 bits; 0 is none. */
const MAX_PAYLOAD_BYTES = 2 ** 31 - 1
/** A client whose machine has gone is found out by the kernel. */
const KEEP_ALIVE_MS = 60_000
/** Of the memory that zlib takes for each connection that has compressed something, half the usual. */
const DEFLATE = { level: 3, memLevel: 7 }

/** A server that is not listening yet; its hooks are looked up at each request. */
export function createWebSocketServer(runnable: Runnable, scheme: Scheme, owner: Owner): HttpServer | HttpsServer {
  const server = createRequestServer({ runnable, owner, otherwise: askForUpgrade }, scheme)
  takeUpgrades(server)
  /** Handshakes that are not answered. */
  const begun = new WeakMap<IncomingMessage, WebSocketConnection>()
  const admit = async (message: IncomingMessage, proceed: (isAdmitted: true) => void): Promise<void> => {
    const { socket } = message
    const request = new WebSocketRequest(message, runnable.webSocket.protocols)
    const connection = new WebSocketConnection(owner, socket, request)
    begun.set(message, connection)
    const { onWebSocketConnect } = runnable.subject
    const refusal = onWebSocketConnect && (await connection.ask(onWebSocketConnect))
    if (!refusal) return proceed(true)
    socket.write(encodeRefusal(refusal))
    endGently(socket)
  }
  const webSockets = new WebSocketServer({
    ...wireOptions(runnable.webSocket, runnable.limits),
    noServer: true,
    clientTracking: false,
    WebSocket: OwnWebSocket,
    verifyClient: ({ req }, proceed) => void admit(req, proceed),
    handleProtocols: (_offered, message) => begun.get(message)?.subprotocol ?? false,
  })
  webSockets.on('headers', (lines, message) => {
    lines.push(...(begun.get(message)?.request.conclude() ?? []))
  })
  server.on('upgrade', (message: IncomingMessage, socket, head: Buffer) => {
    // node:http has let go of it, and `ws` comes when all that was asked before is answered: a client that is
    // lost meanwhile would be nobody's error, and so the worker's end
    socket.on('error', letGo)
    const open = (wire: WebSocket): void => {
      socket.off('error', letGo)
      message.socket.setKeepAlive(true, KEEP_ALIVE_MS)
      begun.get(message)?.open(wire as OwnWebSocket)
    }
    afterAnswers(message.socket, () => webSockets.handleUpgrade(message, socket, head, open))
  })
  return server
}

function letGo(this: Socket): void {
  this.destroy()
}

/** What `ws` is told at either end. */
export function wireOptions({ compression }: WebSocketOptions, { maxMessageBytes }: ConnectionLimits) {
  const perMessageDeflate = compression && {
    threshold: compression.thresholdBytes,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    zlibDeflateOptions: DEFLATE,
  }
  return {
    closeTimeout: CLOSE_TIMEOUT_MS,
    maxPayload: Math.min(maxMessageBytes, MAX_PAYLOAD_BYTES),
    perMessageDeflate: perMessageDeflate ?? false,
  }
}

/** What `ws` knows about the bytes that have come. Not public: where a member is missing, nothing has begun. */
interface Receiver {
  /** 0: between two frames; 5: what is whole is being unpacked, and what came behind it waits. */
  _state?: number
  /** Of the frame that has begun; above 7 that of a control frame. */
  _opcode?: number
  /** The opcode of a message that comes in fragments; 0: of none. */
  _fragmented?: number
  _bufferedBytes?: number
}

const INFLATING = 5
const LAST_DATA_OPCODE = 7

type Known = Pick<Wire, 'hasBegun' | 'hasBegunMessage' | 'isInflating' | 'isClient'>

export class OwnWebSocket extends WebSocket implements Known {
  get isClient(): boolean {
    return false
  }

  get hasBegun(): boolean {
    const receiver = this.#known
    return Boolean(receiver && (receiver._state || receiver._fragmented || receiver._bufferedBytes))
  }

  get hasBegunMessage(): boolean {
    const { _state, _opcode = 0, _fragmented } = this.#known ?? {}
    const isOfControl = Boolean(_state) && _opcode > LAST_DATA_OPCODE && !_fragmented
    return this.hasBegun && !isOfControl
  }

  get isInflating(): boolean {
    return this.#known?._state === INFLATING
  }

  get #known(): Receiver | null | undefined {
    return (this as unknown as { _receiver?: Receiver | null })._receiver
  }
}

/** A request that asks for no WebSocket, on a server that answers no others (RFC 9110, 15.5.22). */
function askForUpgrade({ runnable: { subject } }: Web, _request: IncomingMessage, response: ServerResponse): void {
  // with a listener of user code beside ours, that one answers
  if (subject.server && hasForeignListener(subject.server)) return
  refuse(response, 426, { Upgrade: 'websocket', Connection: 'Upgrade, close' })
}
