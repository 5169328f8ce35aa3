/**
 * What user code hangs onto a Worker, as types that the public class, the protocols and the worker
 * process share. No behaviour.
 */
import type { Server as HttpServer, IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { TlsOptions } from 'node:tls'
import type { StopReason } from '../ipc/messages.ts'
import type { Figures } from '../ipc/status.ts'
import type { Connection, ConnectionHooks, OpenConnections } from './connection.ts'
import type { Hook } from './connection-state.ts'
import type { HttpConnection } from './http/http-connection.ts'
import type { HttpRequest } from './http/http-request.ts'
import type { Sendable } from './http/sendable.ts'
import type { ConnectionLimits } from './limits.ts'
import type { Protocol } from './stream/protocol.ts'
import type { ConnectHook, WebSocketConnection } from './websocket/websocket-connection.ts'
import type { WebSocketOptions } from './websocket/websocket-options.ts'

/** Any listener that `http.createServer` takes. */
export type RequestListener = (request: IncomingMessage, response: ServerResponse) => unknown

/** What `onMessage` gets from a listener with this address. */
export type MessageOf<Listen extends string> = string extends Listen
  ? unknown
  : Listen extends `http${string}`
    ? HttpRequest
    : Listen extends `text${string}`
      ? string
      : Listen extends `ws${string}` | `websocket${string}`
        ? string | Buffer
        : Buffer

/** What `connection.send` takes there. */
export type SentOf<Listen extends string> = string extends Listen
  ? unknown
  : Listen extends `http${string}`
    ? Sendable
    : Listen extends `text${string}`
      ? string
      : string | Uint8Array

/** What hooks get as the connection there. */
export type ConnectionOf<Listen extends string, Sent> = string extends Listen
  ? Connection<Sent>
  : Listen extends `http${string}`
    ? HttpConnection
    : Listen extends `ws${string}` | `websocket${string}`
      ? WebSocketConnection
      : Connection<Sent>

/** The hooks of one group, run in its worker processes. `W` is the public Worker. */
export interface WorkerHooks<W, Message = unknown, Sent = unknown, C = Connection<Sent>>
  extends ConnectionHooks<Message, Sent, C> {
  onWorkerStart: Hook<[worker: W]> | null
  onWorkerServing: Hook<[worker: W]> | null
  onWorkerStop: Hook<[worker: W, reason: StopReason]> | null
  onWorkerReload: Hook<[worker: W]> | null
  onLeader: Hook<[worker: W]> | null
  onStatus: Hook<[worker: W], Figures> | null
  onRequest: RequestListener | null
  onWebSocketConnect: ConnectHook | null
}

/** The public Worker as its process sees it. */
export interface Subject extends WorkerHooks<never> {
  name: string
  server: HttpServer | HttpsServer | null
  id: number
  generation: number
  isLeader: boolean
  connections: OpenConnections
  broadcast(data: unknown): number
}

/** What a worker process runs: the public object, and the options that a spec cannot carry. */
export interface Runnable {
  readonly subject: Subject
  readonly tls: TlsOptions | undefined
  readonly serverOptions: ServerOptions
  readonly limits: ConnectionLimits
  readonly webSocket: WebSocketOptions
  /** A protocol of the user's own. */
  readonly protocol: Protocol | undefined
  /** The health check, where it is a function; a path is in the spec. */
  readonly healthFunction: ((worker: never) => unknown) | null
}
