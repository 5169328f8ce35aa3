/**
 * Connections that user code has taken over by an HTTP upgrade or CONNECT, and how a draining worker
 * parts with them: a WebSocket is told 1012 (service restart), so that its client comes back to new
 * code by itself; of what speaks anything else nobody here knows the goodbye, and it has until the
 * deadline. What is sent is watched from the upgrade on: no frame of ours may fall into one of theirs.
 * Kept by `traffic`.
 */
import type { Server as HttpServer, IncomingMessage } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Outgoing } from './outgoing.ts'
import { tapEvents } from './tap.ts'
import { isUnseen } from './unseen.ts'

interface Upgraded {
  readonly socket: Socket
  readonly name: string
  /** Null: no WebSocket. */
  readonly outgoing: Outgoing | null
  /** due: to be said as soon as no frame is half written. */
  goodbye: 'not yet' | 'due' | 'said'
  /** What is left of `socket.write` below ours. */
  write: Socket['write']
}

/** FIN and the opcode of a close frame, two bytes of payload: 1012 (IANA: WebSocket close codes). */
const GOODBYE = Uint8Array.of(0x88, 0x02, 1012 >> 8, 1012 & 0xff)

/** Servers whose upgrades become connections of ours, which say goodbye by themselves. */
const ours = new WeakSet<object>()

/** Leaves the upgrades of this server to who calls it. Before it listens. */
export function takeUpgrades(server: HttpServer | HttpsServer): void {
  ours.add(server)
}

export class Upgrades {
  readonly #open = new Map<Socket, Upgraded>()
  #isPartingWithAll = false

  /**
   * Notes each connection that this server hands to user code. A listener of our own would tell Node.js
   * that the server takes upgrades, so it is the event itself that is seen on its way.
   */
  watch(server: HttpServer | HttpsServer): void {
    const takesOver = (event: string): boolean => event === 'connect' || (event === 'upgrade' && !ours.has(server))
    tapEvents(server, (event, request, handed) => {
      if (takesOver(event)) this.#note(request as IncomingMessage, handed as Duplex)
      return false
    })
  }

  /** @param handed the socket, or something before it (Node.js 26, an upgrade with a body). */
  #note(request: IncomingMessage, handed: Duplex): void {
    const { socket } = request
    // node:http listens no more, user code may not do so yet: one that is reset meanwhile just closes
    for (const stream of new Set([handed, socket])) stream.on('error', () => undefined)
    if (isUnseen(socket) || this.#open.has(socket)) return
    const isWebSocket = request.method !== 'CONNECT' && request.headers.upgrade?.toLowerCase() === 'websocket'
    const upgraded: Upgraded = {
      socket,
      name: nameOf(request),
      outgoing: isWebSocket ? new Outgoing() : null,
      goodbye: this.#isPartingWithAll ? 'due' : 'not yet',
      write: socket.write,
    }
    this.#open.set(socket, upgraded)
    socket.once('close', () => this.#open.delete(socket))
    if (upgraded.outgoing) watchWrites(upgraded, upgraded.outgoing)
  }

  /** What a connection was upgraded to, and for whom; null: it was not. */
  nameOf(socket: Socket): string | null {
    return this.#open.get(socket)?.name ?? null
  }

  /**
   * Says goodbye to every WebSocket, evenly over so long: clients that were told at once would all come
   * back at once. Those that are upgraded later are told at once.
   */
  partWithAll(spreadMs: number): void {
    this.#isPartingWithAll = true
    const all = [...this.#open.values()].filter(({ outgoing }) => outgoing !== null)
    for (const [index, upgraded] of all.entries())
      if (index === 0 || spreadMs === 0) sayGoodbye(upgraded)
      else setTimeout(() => sayGoodbye(upgraded), (index * spreadMs) / all.length)
  }
}

function watchWrites(upgraded: Upgraded, outgoing: Outgoing): void {
  const { socket, write } = upgraded
  const watched = (chunk: string | Uint8Array, ...more: unknown[]): boolean => {
    if (upgraded.goodbye === 'said') {
      // nothing may follow a close frame: as little comes of it as of what is sent to a client that has left
      const callback = more.find((argument) => typeof argument === 'function')
      if (callback) process.nextTick(callback as () => void)
      return true
    }
    const [encoding] = more
    outgoing.note(typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : chunk)
    const result = Reflect.apply(write, socket, [chunk, ...more]) as boolean
    if (upgraded.goodbye === 'due') setImmediate(() => sayGoodbye(upgraded))
    return result
  }
  socket.write = watched as Socket['write']
}

function encodingOf(argument: unknown): BufferEncoding {
  return typeof argument === 'string' && Buffer.isEncoding(argument) ? argument : 'utf8'
}

function sayGoodbye(upgraded: Upgraded): void {
  const { socket, outgoing, write } = upgraded
  if (upgraded.goodbye === 'said' || !socket.writable) return
  upgraded.goodbye = 'due'
  if (outgoing?.state !== 'between') return
  upgraded.goodbye = 'said'
  Reflect.apply(write, socket, [GOODBYE])
}

function nameOf({ method, url, headers, socket }: IncomingMessage): string {
  const from = socket.remoteAddress ?? 'a unix socket'
  if (method === 'CONNECT') return `CONNECT ${url ?? '?'} from ${from}`
  return `upgraded ${headers.upgrade?.toLowerCase() ?? '?'} ${url ?? '?'} from ${from}`
}
