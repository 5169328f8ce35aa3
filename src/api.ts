/**
 * The public class Worker. It only holds what the start file says; what a process does with it is
 * decided in `run-all`.
 */
import type { Server as HttpServer, ServerOptions } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { TlsOptions } from 'node:tls'
import { ShiftworkError } from './errors.ts'
import { isInside } from './inside/present.ts'
import { type BroadcastResult, broadcast, encodeData } from './ipc/broadcast.ts'
import { ownStateDir } from './ipc/ownstatedir.ts'
import { broadcastTo } from './protocols/broadcast.ts'
import { HOOKS } from './protocols/callable.ts'
import type { Connection, OpenConnections } from './protocols/connection.ts'
import type { ConnectionOf, MessageOf, RequestListener, Runnable, SentOf, WorkerHooks } from './protocols/hooks.ts'
import { limitsOf } from './protocols/limits.ts'
import type { ConnectionOptions } from './protocols/options.ts'
import { checkProperties, checkStatics } from './protocols/strangers.ts'
import type { Protocol } from './protocols/stream/protocol.ts'
import { type WebSocketChoice, webSocketOf } from './protocols/websocket/websocket-options.ts'
import { type Described, runAll } from './run-all.ts'
import type { RunOptions } from './spec/settings.ts'
import { OPTION_NAMES } from './spec/spec.ts'
import { nearest } from './words.ts'

/** Everything is checked in `runAll`; a wrong option is one clear sentence there. */
export interface WorkerOptions<Message = unknown, Sent = unknown> extends ConnectionOptions<Message, Sent> {
  /** Names the group in commands, logs and `status`. Default `worker-N`. */
  name?: string
  /** How many processes, or `'cpus'`: as many as the machine can run at once. Default 1. */
  count?: number | 'cpus'
  /** False: a reload keeps these processes (gateways with long-lived connections). Default true. */
  reloadable?: boolean
  /** How long the start file and `onWorkerStart` may take. Default 30 000 ms. */
  startTimeoutMs?: number
  /** How long open requests may take after a worker was told to leave; then they are cut. Default 25 000 ms. */
  stopTimeoutMs?: number
  /** Serves on for so long after a stop was asked, until load balancers have noticed. Default 0 ms. */
  stopDelayMs?: number
  /** A worker whose event loop is blocked for so long is killed and replaced. Default 10 000 ms; 0: never. */
  hangTimeoutMs?: number
  /** How long a reload's first worker of new code must live before it may serve. Default 1 000 ms. */
  bakeMs?: number
  /** The kernel's queue of connections that no worker has accepted yet. Default 511. */
  backlog?: number
  /** Workers become this user (name or id) before `onWorkerStart`; needs a master that root started. */
  user?: string | number
  /** And this group (name or id); default: the user's own. */
  group?: string | number
  /** Permissions of a unix socket, 0o660 for example. */
  socketMode?: number
  /** Owner of a unix socket: `user` or `user:group`. */
  socketOwner?: string
  /** Names of the workers that must serve before these start, and that stop after them. Default: none. */
  after?: string | string[]
  /** Proves that a worker can serve before it does: a path that answers 2xx or 3xx, or a function. Default: none. */
  healthCheck?: HealthCheckOption
  /** A worker is replaced gracefully after about so many requests, up to a tenth more. Default 0: never. */
  maxRequests?: number
  /** And when it holds more resident memory than this. Default 0: never. */
  maxMemoryBytes?: number
  /** And after so long, up to a tenth more. Default 0 ms: never. */
  maxLifetimeMs?: number
  /**
   * What a worker has started and has not ended (`child_process`, and what that starts) is ended once the worker is
   * gone: SIGTERM, a second later SIGKILL. Linux only. One process lives on when `SHIFTWORK_WORKER` is taken out of the
   * environment it is started with; false: all do. Default true.
   */
  sweepChildren?: boolean
  /** Environment variables for these workers. */
  env?: Record<string, string>
  /** For `https://`: key, cert and the other options of `node:tls`. */
  tls?: TlsOptions
  /** Options of the `node:http` server: `keepAliveTimeout`, `requestTimeout`, `maxHeaderSize` … */
  server?: ServerOptions & { timeout?: number; maxRequestsPerSocket?: number; maxHeadersCount?: number }
}

/** True, or anything but false that is returned: healthy. False, a throw or a rejection: not. */
export type HealthFunction = (worker: Worker) => unknown

export type HealthCheckOption =
  | string
  | HealthFunction
  | {
      /** A path of this worker, `/health`, asked by itself with its own handlers; or a function. */
      check: string | HealthFunction
      /** For one try. Default 2 000 ms. */
      timeoutMs?: number
      /** How many more tries before it has failed. Default 2. */
      retries?: number
      /** Between two tries. Default 500 ms. */
      retryDelayMs?: number
      /** Checks again so often while the worker serves, and replaces one that fails. Default 0 ms: never. */
      everyMs?: number
    }

/** Before a process is a worker. */
const NOTHING_OPEN: OpenConnections = new Set<Connection>()
const registered: Worker[] = []
/** What this process is was decided by then: a Worker that is created later is nobody's. */
let hasRun = false
const given = new WeakMap<Worker, Readonly<Record<string, unknown>>>()

/**
 * One group of equal processes. Created in the start file, it becomes one of them in each worker process.
 * What `onMessage` gets, and what `send` takes, follows from the address.
 */
export class Worker<
  Listen extends string = string,
  Message = MessageOf<Listen>,
  Sent = SentOf<Listen>,
  C extends Connection = ConnectionOf<Listen, Sent>,
> implements WorkerHooks<Worker, Message, Sent, C>
{
  /** Called in the master when a reload begins. */
  static onMasterReload: (() => unknown) | null = null
  /** Called in the master when every worker has left; awaited. */
  static onMasterStop: (() => unknown) | null = null
  /** Called in the master when a worker process is gone, for whatever reason. */
  static onWorkerExit: ((worker: Worker, code: number | null, signal: string | null, pid: number) => unknown) | null =
    null

  /**
   * The directory in which this fleet keeps its state (pid file, control socket, logs), absolute: in its worker
   * processes and, from the start on, in its master. Null in any other process.
   */
  static get stateDir(): string | null {
    return ownStateDir()
  }

  readonly listen: string | undefined
  name = ''
  declare count: number | 'cpus'
  declare reloadable: boolean
  declare startTimeoutMs: number
  declare stopTimeoutMs: number
  declare stopDelayMs: number
  declare hangTimeoutMs: number
  declare bakeMs: number
  declare backlog: number
  declare user: string | number
  declare group: string | number
  declare socketMode: number
  declare socketOwner: string
  declare after: string | string[]
  declare healthCheck: HealthCheckOption
  declare maxRequests: number
  declare maxMemoryBytes: number
  declare maxLifetimeMs: number
  declare sweepChildren: boolean
  declare maxMessageBytes: number
  declare maxSendBufferBytes: number
  declare idleTimeoutMs: number
  declare heartbeat: { everyMs: number; maxMissed?: number; data?: NoInfer<Sent> }
  declare webSocket: NonNullable<WorkerOptions['webSocket']>
  declare protocol: Protocol<Message, Sent>
  declare env: Record<string, string>
  declare tls: TlsOptions

  /** The place of this process in its group, 0 to count - 1; the same after reloads and crashes. */
  id = -1
  /** Raised by each reload of the group. */
  generation = 0
  /** True in at most one process of the group at any time. */
  isLeader = false
  /** The `node:http` server, from `onWorkerStart` on, for upgrades and libraries that attach to it. */
  server: HttpServer | HttpsServer | null = null
  /** The open connections of this process, from `onWorkerStart` on. Over HTTP those that user code has not upgraded. */
  connections: OpenConnections<Sent> = NOTHING_OPEN as OpenConnections<Sent>

  /**
   * Called in every process that reads the start file, when its options are checked: a ShiftworkError that it throws is
   * the one sentence of the start or the reload. For code that builds on Workers and has options of its own.
   */
  onCheck: (() => unknown) | null = null
  /** Loads the business code; the worker serves when it has settled. A throw fails the start. */
  onWorkerStart: Hooks<this, Message, Sent, C>['onWorkerStart'] = null
  /**
   * Once, when this process was admitted and serves: consumers of queues begin here. New code that is only being tried
   * (`bakeMs`) does not get that far.
   */
  onWorkerServing: Hooks<this, Message, Sent, C>['onWorkerServing'] = null
  /** Awaited, within `stopTimeoutMs`, after the worker has stopped listening. */
  onWorkerStop: Hooks<this, Message, Sent, C>['onWorkerStop'] = null
  /** In workers that a reload kept, when it has succeeded. */
  onWorkerReload: Hooks<this, Message, Sent, C>['onWorkerReload'] = null
  /** This process has become the leader of its group. */
  onLeader: Hooks<this, Message, Sent, C>['onLeader'] = null
  /**
   * What `status` and the metrics show of this process beside its own numbers: `{ queued: 3 }`. Called at each look, and
   * not awaited. At most 32 figures, names of at most 64 characters, texts of at most 200.
   */
  onStatus: Hooks<this, Message, Sent, C>['onStatus'] = null
  /** Any listener of `node:http`. */
  onRequest: RequestListener | null = null
  /**
   * Asked before the handshake of a WebSocket is answered, may be async. False refuses it with 403, a number with that
   * status, a `Response` with itself, a throw with 500. Headers of the answer are set on `request.responseHeaders`, and
   * another subprotocol is chosen with `request.subprotocol`.
   */
  onWebSocketConnect: Hooks<this, Message, Sent, C>['onWebSocketConnect'] = null
  /** Awaited before the first message of a connection. */
  onConnect: Hooks<this, Message, Sent, C>['onConnect'] = null
  /**
   * A whole message, over HTTP a request, answered with `connection.send`; used when there is no `onRequest`. One at a
   * time for each connection: while a promise has not settled, the next one waits. Over UDP each datagram is a
   * connection of its own.
   */
  onMessage: Hooks<this, Message, Sent, C>['onMessage'] = null
  onClose: Hooks<this, Message, Sent, C>['onClose'] = null
  /** What a handler threw or rejected with, and what went wrong on a connection. */
  onError: Hooks<this, Message, Sent, C>['onError'] = null
  /** More than `maxSendBufferBytes` wait to be sent: what is sent from now on is dropped, until … */
  onBufferFull: Hooks<this, Message, Sent, C>['onBufferFull'] = null
  /** … all of it is sent. */
  onBufferDrain: Hooks<this, Message, Sent, C>['onBufferDrain'] = null

  /**
   * Checks nothing; `runAll` checks everything.
   * @param listen `http://host:port`, `text+tls://[ipv6]:port`, `frame+unix:///path`, `udp://host:port`; none for a group without a listener.
   * @throws ShiftworkError `ERR_START_FILE` after `runAll`, so in a worker, too: it would never run.
   */
  constructor(listen?: Listen | WorkerOptions<Message, Sent>, options?: WorkerOptions<Message, Sent>) {
    if (hasRun || isInside()) throw tooLate(listen)
    const isBare = typeof listen === 'object' && listen !== null
    const all = { ...(isBare ? listen : options) } as Record<string, unknown>
    this.listen = isBare ? undefined : listen
    for (const [name, value] of Object.entries(all)) if (isProperty(name)) Object.assign(this, { [name]: value })
    given.set(this as Worker, all)
    registered.push(this as Worker)
  }

  /**
   * Sends to every open connection of this process, as `connection.send` does. One whose `onConnect` has not settled
   * gets nothing yet; over HTTP, which knows only answers, none does.
   * @returns how many took it.
   */
  broadcast(data: Sent): number {
    return broadcastTo(this.connections as OpenConnections, data)
  }

  /**
   * Sends to the open connections of every process of a group, the calling one too, through the master. Each gets
   * the broadcasts that its process hears after its `onConnect` has settled, each once, all in the same order, also
   * while the group is reloaded. At most 256 KiB a message.
   * @param group the name of a Worker.
   * @returns what became of it, when every process has taken it or 2 s are over. It rejects with `ERR_OPTION`: there is
   * no such group; `ERR_SEND_BUFFER_FULL`: 4 MiB of this process wait for the master already; `ERR_NOT_RUNNING`: the
   * master is gone; `ERR_NO_ANSWER`: it does not answer within 5 s. Where nobody waits for it, that is not told.
   * @throws ShiftworkError at once, `ERR_OPTION` for what is neither text nor bytes, `ERR_MESSAGE_TOO_LARGE`.
   */
  static broadcast(group: string, data: string | Uint8Array): Promise<BroadcastResult> {
    const told = broadcast(group, encodeData(data))
    // who does not wait for it does not want to end for it
    told.catch(() => undefined)
    return told
  }

  /**
   * Runs what this process is: the command line that was typed, the master, or one worker.
   * Call it once, last in the start file; there is nothing to wait for.
   */
  static runAll(options: RunOptions = {}): void {
    const workers = registered.splice(0)
    hasRun = true
    const byName = (name: string): Worker | undefined => workers.find((worker) => worker.name === name)
    // anybody may write anything: what is no object is refused as options that are not known
    runAll(
      workers.map(describe),
      { ...options },
      {
        onMasterReload: () => Worker.onMasterReload?.(),
        onMasterStop: () => Worker.onMasterStop?.(),
        onWorkerExit: (name, code, signal, pid) => {
          const worker = byName(name)
          return worker && Worker.onWorkerExit?.(worker, code, signal, pid)
        },
      },
    )
  }
}

/** As in Workerman, where a worker may open another address like this. */
function tooLate(listen: unknown): ShiftworkError {
  const address = typeof listen === 'string' ? `'${listen}'` : ''
  return new ShiftworkError(
    'ERR_START_FILE',
    `new Worker(${address}) comes after Worker.runAll() and would never run`,
    {
      hint: `Create it in the start file, before runAll(); one more address of a worker is opened with listen(${address || 'address'}, { onMessage }).`,
    },
  )
}

type Hooks<W, Message, Sent, C> = WorkerHooks<W, Message, Sent, C>

/** What `server` is in the options is another thing than `worker.server`, so it stays with the options. */
function isProperty(name: string): boolean {
  return name !== 'server' && (OPTION_NAMES as readonly string[]).includes(name)
}

function describe(worker: Worker): Described {
  const options = optionsOf(worker)
  return {
    raw: { listen: worker.listen, options, check: (name) => checkOf(worker, name) },
    adopt: (spec) => Object.assign(worker, { name: spec.name, count: spec.count, reloadable: spec.reloadable }),
    // of options that were checked
    runnable: () => ({
      subject: worker as Runnable['subject'],
      tls: options['tls'] as TlsOptions | undefined,
      serverOptions: (options['server'] ?? {}) as ServerOptions,
      limits: limitsOf(options),
      webSocket: webSocketOf(options['webSocket'] as WebSocketChoice),
      protocol: options['protocol'] as Protocol | undefined,
      healthFunction: healthFunctionOf(options['healthCheck']),
    }),
  }
}

/** What nobody would read, and what its own code has to say against it. */
function checkOf(worker: Worker, name: string): unknown {
  checkProperties(name, worker)
  checkStatics(Worker)
  return worker.onCheck?.()
}

function healthFunctionOf(option: unknown): Runnable['healthFunction'] {
  const check = typeof option === 'object' && option !== null && 'check' in option ? option.check : option
  return typeof check === 'function' ? (check as HealthFunction) : null
}

/** Options as given to the constructor or assigned later; a property that looks misspelled is one, too. */
function optionsOf(worker: Worker): Record<string, unknown> {
  const options: Record<string, unknown> = { ...given.get(worker) }
  for (const [name, value] of Object.entries(worker)) {
    const isMisspelled = !FIELDS.has(name) && !isProperty(name) && nearest(name, OPTION_NAMES) !== undefined
    if (isProperty(name) || isMisspelled) options[name] = value
  }
  return options
}

const FIELDS = new Set([
  ...['listen', 'id', 'generation', 'isLeader', 'server', 'connections'],
  ...['onCheck', ...HOOKS],
])
