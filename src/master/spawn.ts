/**
 * Forks one worker process with `node:cluster` and turns what becomes of it into two callbacks.
 * Called by the supervisor; decides nothing. A process that cannot be started ends in `onExit` like
 * any other, so that there is one way to fail.
 */

import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import { formatMark, type Origin } from '../ipc/mark.ts'
import { type Identity, type MasterMessage, seal, unseal, type WorkerMessage } from '../ipc/messages.ts'
import { WIRE_VERSION } from '../ipc/requests.ts'
import { debug } from '../log.ts'
import { presentDirectory } from '../os/workingdirectory.ts'
import { waitFor } from '../patience.ts'
import { IDENTITY_VARIABLE, WORKER_VARIABLE } from '../variables.ts'
import { slotKey } from './policy/fleet.ts'

/** How to start a worker process; the same for all, read again at each fork. */
export interface Launcher {
  /** The worker's first module, through the release's symlink when there is one. */
  bootstrap: string
  execArgv: string[]
  /** Where its processes begin: the first that is there by then. */
  directories: readonly string[]
  startFile: string
  /** What its processes are marked with. */
  origin: Origin
  /** Where a worker's stdout and stderr go, asked at each fork: as the master's do, or to a descriptor of the master. */
  workerOutput: () => readonly [stdout: 'inherit' | number, stderr: 'inherit' | number]
}

export interface Handlers {
  onMessage(message: WorkerMessage): void
  onExit(code: number | null, signal: string | null): void
  /** It has closed its channel, and lives: it hears nothing any more, and takes its master for dead. */
  onParted(): void
}

/** A worker process that was forked. */
export interface Process {
  readonly pid: number
  /** What it carries, and what everything that it starts inherits. */
  readonly mark: string
  /** Told the same each time: two clocks drift apart, and one of them stands still while the machine sleeps. */
  readonly startedAt: Date
  send(message: MasterMessage, handle?: object): void
  kill(): void
}

/** The exit and the last messages come by two ways; the messages may be this much later. */
const LAST_WORDS_MS = 250

export function spawnProcess(
  launcher: Launcher,
  who: Pick<Identity, 'name' | 'id' | 'generation' | 'attempt'> & {
    key: number
    env: Record<string, string>
    isReader?: boolean
  },
  handlers: Handlers,
): Process {
  const identity: Identity = {
    wireVersion: WIRE_VERSION,
    startFile: launcher.startFile,
    name: who.name,
    id: who.id,
    generation: who.generation,
    attempt: who.attempt,
    isReader: who.isReader === true,
  }
  const worker = identity.isReader ? null : slotKey(who.name, who.id)
  const mark = formatMark({ ...launcher.origin, worker, key: who.key })
  cluster.setupPrimary({
    exec: launcher.bootstrap,
    execArgv: launcher.execArgv,
    // a title has only the room of the arguments that the process was started with
    args: [launcher.startFile, titleRoom(who.name)],
    cwd: presentDirectory(launcher.directories),
    stdio: ['ignore', ...launcher.workerOutput(), 'ipc'],
  } as Parameters<typeof cluster.setupPrimary>[0])
  let forked: ClusterWorker
  const startedAt = new Date()
  try {
    const own = { [IDENTITY_VARIABLE]: JSON.stringify(identity), [WORKER_VARIABLE]: mark }
    forked = cluster.fork({ ...who.env, ...own })
  } catch (error) {
    setImmediate(() => notStarted(handlers, error))
    return { pid: 0, mark, startedAt, send: () => undefined, kill: () => undefined }
  }
  let held: (() => void)[] | null = []
  const release = (): void => {
    const due = held ?? []
    held = null
    for (const sendIt of due) sendIt()
  }
  const onMessage = (message: WorkerMessage): void => {
    if (message.type === 'here') release()
    else handlers.onMessage(message)
  }
  watch(forked, { ...handlers, onMessage })
  return {
    pid: forked.process.pid ?? 0,
    mark,
    startedAt,
    send: (message, handle) => {
      // node:cluster drops what arrives before the worker's first module listens
      if (held) held.push(() => send(forked, message, handle))
      else send(forked, message, handle)
    },
    kill: () => void forked.process.kill('SIGKILL'),
  }
}

/** Some failures to fork are thrown, some are emitted: both end as a child that failed and is gone. */
function notStarted(handlers: Handlers, error: unknown): void {
  const message = `the process could not be started: ${error instanceof Error ? error.message : String(error)}`
  handlers.onMessage({ type: 'failed', failure: { message, stack: message }, output: '' })
  handlers.onExit(null, null)
}

function titleRoom(name: string): string {
  return `--title=${name}${' '.repeat(24)}`
}

function send(worker: ClusterWorker, message: MasterMessage, handle?: object): void {
  if (!worker.isConnected()) return
  // a worker that dies meanwhile is told of by its exit
  const ignore = (error: Error | null): void => {
    if (error) debug('message to pid %d lost: %s', worker.process.pid, error.message)
  }
  worker.process.send(seal(message), handle as Parameters<typeof worker.process.send>[1], undefined, ignore)
}

function watch(worker: ClusterWorker, handlers: Handlers): void {
  let exit: { code: number | null; signal: string | null } | null = null
  let isConnected = true
  let isReported = false
  const report = (): void => {
    if (isReported || !exit) return
    isReported = true
    handlers.onExit(exit.code, exit.signal)
  }
  worker.process.on('message', (received: unknown) => {
    const message = unseal<WorkerMessage>(received)
    if (message) handlers.onMessage(message)
  })
  worker.process.once('disconnect', () => {
    isConnected = false
    report()
    // one that ends closes its channel a moment before
    if (!exit) waitFor(LAST_WORDS_MS, () => exit ?? handlers.onParted())
  })
  worker.process.once('exit', (code, signal) => {
    exit = { code, signal }
    if (isConnected) waitFor(LAST_WORDS_MS, report)
    else report()
  })
  // node:cluster emits the process's error on the worker again, which throws without a listener
  worker.on('error', () => undefined)
  worker.process.on('error', (error) => {
    debug('pid %d: %s', worker.process.pid, error.message)
    if (worker.process.pid !== undefined || isReported) return
    isReported = true
    // neither its exit nor its disconnect will come, by which node:cluster forgets a worker
    delete cluster.workers?.[worker.id]
    setImmediate(() => notStarted(handlers, error))
  })
}
