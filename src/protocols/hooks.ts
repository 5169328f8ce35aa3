/**
 * What user code hangs onto a Worker, as types that the public class, the protocols and the worker
 * process share. No behaviour.
 */
import type { Server as HttpServer, IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { TlsOptions } from 'node:tls'
import type { StopReason } from '../ipc/messages.ts'
import type { Connection } from './connection.ts'
import type { HttpRequest } from './http-request.ts'

/** Any listener that `http.createServer` takes. */
export type RequestListener = (request: IncomingMessage, response: ServerResponse) => unknown

/** The hooks of one group, run in its worker processes. `W` is the public Worker. */
export interface WorkerHooks<W> {
  onWorkerStart: ((worker: W) => unknown) | null
  onWorkerStop: ((worker: W, reason: StopReason) => unknown) | null
  onWorkerReload: ((worker: W) => unknown) | null
  onLeader: ((worker: W) => unknown) | null
  onRequest: RequestListener | null
  onConnect: ((connection: Connection) => unknown) | null
  onMessage: ((connection: Connection, request: HttpRequest) => unknown) | null
  onClose: ((connection: Connection) => unknown) | null
  onError: ((connection: Connection, error: unknown) => unknown) | null
}

/** The public Worker as its process sees it. */
export interface Subject extends WorkerHooks<never> {
  server: HttpServer | HttpsServer | null
  id: number
  generation: number
  isLeader: boolean
}

/** What a worker process runs: the public object, and the options that a spec cannot carry. */
export interface Runnable {
  readonly subject: Subject
  readonly tls: TlsOptions | undefined
  readonly serverOptions: ServerOptions
  readonly maxMessageBytes: number
  /** The health check, where it is a function; a path is in the spec. */
  readonly healthFunction: ((worker: never) => unknown) | null
}
