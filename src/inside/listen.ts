/**
 * `listen`: one more address for a worker that serves, opened by its own code: an admin port beside the
 * public one. It is not the master's, so the port is there only while a worker has it open.
 */
import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import { Server as NetServer, type Socket } from 'node:net'
import { type TlsOptions, Server as TlsServer } from 'node:tls'
import { type Address, formatAddress, isLongPath, isSecure, parseAddress, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { canShortenPaths } from '../os/socketpath.ts'
import type { Connection, ConnectionHooks, OpenConnections, Owner } from '../protocols/connection.ts'
import type { ConnectionOf, MessageOf, Runnable, SentOf, Subject, WorkerHooks } from '../protocols/hooks.ts'
import { WebConnections } from '../protocols/http/web-connections.ts'
import { limitsOf } from '../protocols/limits.ts'
import type { ConnectionOptions } from '../protocols/options.ts'
import { Roster } from '../protocols/roster.ts'
import { createServer, missingHandler } from '../protocols/server.ts'
import type { Protocol } from '../protocols/stream/protocol.ts'
import { type WebSocketChoice, webSocketOf } from '../protocols/websocket/websocket-options.ts'
import { checkConnections } from '../spec/connections.ts'
import { OptionCheck, show } from '../spec/options.ts'
import { openServer, type Place } from './open.ts'
import { findInside } from './present.ts'

/** Hooks and options of one more address: the same as a Worker's. */
export interface ListenOptions<Message = unknown, Sent = unknown, C extends Connection = Connection>
  extends ConnectionOptions<Message, Sent>,
    Partial<ConnectionHooks<Message, Sent, C>>,
    Partial<Pick<WorkerHooks<never, Message, Sent, C>, 'onRequest' | 'onWebSocketConnect'>> {
  tls?: TlsOptions
  /** True: this process's own, shared with no other. Default false: with all workers that open the same address. */
  exclusive?: boolean
  /** Permissions of an exclusive unix socket, 0o600 for example; default: what the umask says. */
  socketMode?: number
  /**
   * True: it accepts, and its connections stay, until `onWorkerStop` has settled, since that hook needs them. Default
   * false: it accepts nothing more once the worker leaves, and when the hook takes long, they are parted with before.
   */
  partsLast?: boolean
  /**
   * True: those that connect are processes of the same service, which come again: what is cut of them when the worker leaves
   * is not counted as a lost connection. Default false.
   */
  internal?: boolean
}

export interface ExtraListener<Sent = unknown> {
  /** With the port that was chosen. */
  readonly address: string
  /** Null on a unix socket. */
  readonly port: number | null
  /** Those that came to this address. */
  readonly connections: OpenConnections<Sent>
  /** Accepts nothing more; connections that are open stay. */
  close(): void
}

/**
 * Opens one more address in this worker. All workers of the fleet that open the same one share it, by the means of
 * `node:cluster`; its connections are drained, counted and listed like those of the worker's own address. What is
 * promised of that one (a port that is never missing, no connection lost when a worker is killed) is not of this one.
 *
 * With `exclusive: true` it is this process's alone: port 0 is another one in each, and a unix socket must have a path of
 * its own, which may be of any length on Linux. What a dead process has left there is replaced; the file goes when it is
 * closed, or the worker leaves.
 * @throws ShiftworkError `ERR_ADDRESS`, `ERR_OPTION`, and `ERR_NOT_IN_WORKER` outside a worker; `ERR_ADDRESS_IN_USE`,
 * `ERR_ADDRESS_DENIED` and `ERR_ADDRESS` when the address cannot be had.
 */
export async function listen<Listen extends string, Message = MessageOf<Listen>, Sent = SentOf<Listen>>(
  address: Listen,
  options: ListenOptions<Message, Sent, ConnectionOf<Listen, Sent>> = {},
): Promise<ExtraListener<Sent>> {
  const inside = findInside('listen')
  const place = checkPlace(address, { ...options } as Record<string, unknown>)
  const { address: checked } = place
  const runnable = runnableOf({ ...options } as Record<string, unknown>, inside.worker)
  const { partsLast = false, internal = false } = options
  const connections = inside.branch({ partsLast, isInternal: internal })
  const { subject: hooks, limits } = runnable
  const owner: Owner = { protocol: checked.protocol, worker: inside.worker, hooks, limits, connections }
  const missing = missingHandler(runnable, checked.protocol)
  if (missing)
    throw new ShiftworkError('ERR_OPTION', `listen("${address}") answers nothing`, {
      hint: `Give it ${missing.replaceAll('worker.', '')} in the second argument.`,
    })
  const server = await createServer(runnable, checked.protocol, owner)
  const shown = speechOf(checked.protocol) === 'http' ? webConnections(owner, server) : connections
  if (partsLast) inside.keepListening(server)
  if (internal) inside.discount(server)
  const port = await openServer(server, place)
  return {
    address: formatAddress(checked, port ?? undefined),
    port,
    connections: shown as OpenConnections<Sent>,
    close: () => closeGently(server),
  }
}

/** Without what `node:http` does first: it would close idle connections, on which a request may be under way. */
function closeGently(server: NetServer): void {
  // then there is none, and it ends its own look at them, which would keep the server for ever
  if (server instanceof HttpServer || server instanceof HttpsServer)
    server.once('close', () => void server.close(() => undefined))
  NetServer.prototype.close.call(server)
}

function webConnections(owner: Owner, server: NetServer): OpenConnections {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection'
  const roster = new Roster()
  const leave = function (this: Socket): void {
    roster.delete(this)
  }
  server.on(event, (socket: Socket) => {
    roster.add(socket)
    socket.on('close', leave)
  })
  return new WebConnections(owner, () =>
    [...roster].map((socket) => ({ socket, since: roster.since(socket), stage: 'spoken' })),
  )
}

function checkPlace(text: unknown, options: Readonly<Record<string, unknown>>): Place {
  if (typeof text !== 'string')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on ${show(text)}`, {
      hint: 'Give the address as text, for example text://127.0.0.1:7001.',
    })
  const address = parseAddress(text, { takesLongPaths: canShortenPaths() })
  if (speechOf(address.protocol) === 'udp')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on "${text}" inside a worker: it takes datagrams`, {
      hint: `Make it a Worker of its own: new Worker('${text}').`,
    })
  const check = new OptionCheck({ owner: `listen("${text}")` }, options)
  checkConnections(check, address)
  checkTls(check, address)
  check.boolean('partsLast', false)
  check.boolean('internal', false)
  return checkSharing(check, address)
}

function checkTls(check: OptionCheck, address: Address): void {
  const tls = check.value('tls')
  const hasTls = typeof tls === 'object' && tls !== null
  if (hasTls && !isSecure(address.protocol))
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has tls, but its address is not inside TLS`, {
      hint: 'Change the address to one inside TLS, or remove tls.',
    })
  if (!hasTls && isSecure(address.protocol))
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has no tls`, { hint: 'Give it { tls: { key, cert } }.' })
}

/** A shared socket is bound in the master, with the master's umask and by one path for all. */
function checkSharing(check: OptionCheck, address: Address): Place {
  const isExclusive = check.boolean('exclusive', false)
  const socketMode = check.optionalInteger('socketMode', 0, 0o777)
  if (socketMode !== null && address.kind !== 'unix')
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has socketMode but is no unix socket`, {
      hint: `Use ${address.protocol}+unix:///path, or remove socketMode.`,
    })
  if (socketMode !== null && !isExclusive)
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has socketMode but is shared with other workers`, {
      hint: 'Give it exclusive: true and a path of its own, or remove socketMode.',
    })
  if (address.kind === 'unix' && isLongPath(address.path) && !isExclusive)
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on "${address.text}": the path is too long to be shared`, {
      hint: 'Choose a path of at most 107 bytes, or give it exclusive: true and a path of its own.',
    })
  return { address, isExclusive, socketMode }
}

const NO_HOOKS = {
  onRequest: null,
  onWebSocketConnect: null,
  onConnect: null,
  onMessage: null,
  onClose: null,
  onError: null,
  onBufferFull: null,
  onBufferDrain: null,
  onWorkerStart: null,
  onWorkerServing: null,
  onWorkerStop: null,
  onWorkerReload: null,
  onLeader: null,
  onStatus: null,
}

function runnableOf(options: Record<string, unknown>, worker: Owner['worker']): Runnable {
  const { name, id, generation, isLeader, connections } = worker
  const view = { name, id, generation, isLeader, connections, broadcast: (data: unknown) => worker.broadcast(data) }
  return {
    subject: { ...view, server: null, ...NO_HOOKS, ...options } as Subject,
    tls: options['tls'] as TlsOptions | undefined,
    serverOptions: {},
    limits: limitsOf(options),
    protocol: options['protocol'] as Protocol | undefined,
    webSocket: webSocketOf(options['webSocket'] as WebSocketChoice | undefined),
    healthFunction: null,
  }
}
