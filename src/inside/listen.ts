/**
 * `listen`: one more address for a worker that serves, opened by its own code: an admin port beside the
 * public one. It is not the master's, so the port is there only while a worker has it open.
 */
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import type { TlsOptions } from 'node:tls'
import { type Address, formatAddress, isSecure, parseAddress, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import type { Connection, ConnectionHooks, OpenConnections, Owner } from '../protocols/connection.ts'
import type { ConnectionOf, MessageOf, Runnable, SentOf, Subject, WorkerHooks } from '../protocols/hooks.ts'
import { limitsOf } from '../protocols/limits.ts'
import type { ConnectionOptions } from '../protocols/options.ts'
import { createServer, missingHandler } from '../protocols/server.ts'
import type { Protocol } from '../protocols/stream/protocol.ts'
import { type WebSocketChoice, webSocketOf } from '../protocols/websocket/websocket-options.ts'
import { checkConnections } from '../spec/connections.ts'
import { OptionCheck, show } from '../spec/options.ts'
import { findInside } from './present.ts'

/** Hooks and options of one more address: the same as a Worker's. */
export interface ListenOptions<Message = unknown, Sent = unknown, C extends Connection = Connection>
  extends ConnectionOptions<Message, Sent>,
    Partial<ConnectionHooks<Message, Sent, C>>,
    Partial<Pick<WorkerHooks<never, Message, Sent, C>, 'onRequest' | 'onWebSocketConnect'>> {
  tls?: TlsOptions
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
 * @throws ShiftworkError `ERR_ADDRESS`, `ERR_OPTION`, and `ERR_NOT_IN_WORKER` outside a worker; the system's error when
 * the address cannot be had.
 */
export async function listen<Listen extends string, Message = MessageOf<Listen>, Sent = SentOf<Listen>>(
  address: Listen,
  options: ListenOptions<Message, Sent, ConnectionOf<Listen, Sent>> = {},
): Promise<ExtraListener<Sent>> {
  const inside = findInside('listen')
  const checked = checkAddress(address, { ...options } as Record<string, unknown>)
  const runnable = runnableOf({ ...options } as Record<string, unknown>, inside.worker)
  const connections = inside.branch()
  const { subject: hooks, limits } = runnable
  const owner: Owner = { protocol: checked.protocol, worker: inside.worker, hooks, limits, connections }
  const missing = missingHandler(runnable, checked.protocol)
  if (missing)
    throw new ShiftworkError('ERR_OPTION', `listen("${address}") answers nothing`, {
      hint: `Give it ${missing.replaceAll('worker.', '')} in the second argument.`,
    })
  const server = await createServer(runnable, checked.protocol, owner)
  const port = await open(server, checked)
  return {
    address: formatAddress(checked, port ?? undefined),
    port,
    connections: connections as OpenConnections<Sent>,
    close: () => void server.close(),
  }
}

function checkAddress(text: unknown, options: Readonly<Record<string, unknown>>): Address {
  if (typeof text !== 'string')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on ${show(text)}`, {
      hint: 'Give the address as text, for example text://127.0.0.1:7001.',
    })
  const address = parseAddress(text)
  if (speechOf(address.protocol) === 'udp')
    throw new ShiftworkError('ERR_ADDRESS', `Cannot listen on "${text}" inside a worker: it takes datagrams`, {
      hint: `Make it a Worker of its own: new Worker('${text}').`,
    })
  const check = new OptionCheck({ owner: `listen("${text}")` }, options)
  checkConnections(check, address)
  const hasTls = typeof options['tls'] === 'object' && options['tls'] !== null
  if (hasTls && !isSecure(address.protocol))
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has tls, but its address is not inside TLS`, {
      hint: 'Change the address to one inside TLS, or remove tls.',
    })
  if (!hasTls && isSecure(address.protocol))
    throw new ShiftworkError('ERR_OPTION', `${check.owner} has no tls`, { hint: 'Give it { tls: { key, cert } }.' })
  return address
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

/** @returns the port that was chosen. */
async function open(server: Server, address: Address): Promise<number | null> {
  server.listen(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port })
  await once(server, 'listening')
  server.on('error', (error) => console.error(`shiftwork: ${error.message}`))
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? (bound as AddressInfo).port : null
}
