/**
 * The worker's end of the wire to its master: who this process is, what it reports, what it is
 * ordered, and that the master is gone. Made once by the bootstrap; the start file's own copy of
 * this package, loaded by whatever loader, finds it on the process.
 */

import cluster from 'node:cluster'
import { describeError } from '../errors.ts'
import { parseMark } from '../ipc/mark.ts'
import { type Identity, type MasterMessage, seal, unseal, type WorkerMessage } from '../ipc/messages.ts'
import { noteStateDir } from '../ipc/ownstatedir.ts'
import { WIRE_VERSION } from '../ipc/requests.ts'
import { IDENTITY_VARIABLE, WORKER_VARIABLE } from '../variables.ts'
import { packageVersion } from '../version.ts'

export interface ParentLink {
  readonly identity: Identity
  /** What everything that this process starts carries, too. */
  readonly mark: string
  /** @param done called when the message is handed over, or cannot be. */
  report(message: WorkerMessage, done?: () => void): void
  /** Orders that came before are given at once. */
  onOrder(listener: (order: MasterMessage, handle: unknown) => void): void
  /** The master is gone: nobody will say stop. */
  onLost(listener: () => void): void
  /** Reports that the start failed, and leaves. */
  fail(error: unknown): void
  /** What to do with an uncaught exception; before it is set, one is a failed start. */
  onCrash: ((error: unknown) => void) | null
  /** What to do on SIGTERM; before it is set, nothing. */
  onTerminate: (() => void) | null
  /** Called when the worker serves: its output is no longer kept for a report. */
  onServing: (() => void) | null
}

const LINK = Symbol.for('shiftwork.parent')
/** A channel with a handle under way never tells that the other end is gone: look at the parent, too. */
const PARENT_CHECK_MS = 1_000

/** The link of this process, or null when it is no worker. */
export function findParent(): ParentLink | null {
  return (process as unknown as Record<symbol, ParentLink | undefined>)[LINK] ?? null
}

/** What a failure is reported with. */
export interface Witness {
  /** The last lines that this process wrote. */
  outputTail: () => string
  /** Where a syntax error is, when its stack does not say it. */
  locate: (error: unknown) => string | null
}

/**
 * Makes the link, and tells the master that orders can be sent. Called once, by the bootstrap.
 * @throws Error in a process that no master has forked, or one of another version.
 */
export function openParent(witness: Witness): ParentLink {
  const identity = takeIdentity()
  const mark = process.env[WORKER_VARIABLE] ?? ''
  const fleet = parseMark(mark)
  if (fleet) noteStateDir(fleet.stateDir)
  const orders: [MasterMessage, unknown][] = []
  let onOrder: ((order: MasterMessage, handle: unknown) => void) | null = null
  const lost = watchParent()
  process.on('message', (received: unknown, handle: unknown) => {
    const order = unseal<MasterMessage>(received)
    if (!order) return
    if (onOrder) onOrder(order, handle)
    else orders.push([order, handle])
  })
  const link: ParentLink = {
    identity,
    mark,
    report,
    onOrder: (listener) => {
      onOrder = listener
      for (const [order, handle] of orders.splice(0)) listener(order, handle)
    },
    onLost: (listener) => lost(listener),
    fail: (error) => {
      const failure = describeError(error)
      const place = witness.locate(error)
      if (place !== null) failure.stack = `${place}\n${failure.stack}`
      report({ type: 'failed', failure, output: witness.outputTail() }, () => process.exit(1))
    },
    onCrash: null,
    onTerminate: null,
    onServing: null,
  }
  Object.assign(process, { [LINK]: link })
  report({ type: 'here' })
  return link
}

function takeIdentity(): Identity {
  const text = process.env[IDENTITY_VARIABLE]
  // what this worker starts must not take itself for a worker
  delete process.env[IDENTITY_VARIABLE]
  if (text === undefined) throw new Error('This module is the first of a worker process and cannot be started by hand')
  const identity = JSON.parse(text) as Identity
  if (identity.wireVersion !== WIRE_VERSION) refuse(identity)
  return identity
}

/** In the envelope of the master that runs: it would drop ours, and say no more than that we were gone. */
function refuse({ wireVersion }: Identity): never {
  const message = `another version of Shiftwork (${packageVersion()}) was installed under the running master: restart it`
  const body: WorkerMessage = { type: 'failed', failure: { message, stack: message }, output: '' }
  process.send?.({ shiftwork: wireVersion, body })
  throw new Error(message)
}

function report(message: WorkerMessage, done?: () => void): void {
  if (!process.connected || !process.send) {
    done?.()
    return
  }
  // a master that died meanwhile is noticed by the watch on it
  process.send(seal(message), undefined, undefined, () => done?.())
}

/** Node.js would end this process at once when the master dies; it has requests to finish first. */
function watchParent(): (listener: () => void) => void {
  const listeners: (() => void)[] = []
  let isLost = false
  const lose = (): void => {
    if (isLost) return
    isLost = true
    clearInterval(timer)
    for (const listener of listeners) listener()
  }
  const parentPid = process.ppid
  const timer = setInterval(() => {
    if (process.ppid !== parentPid) lose()
  }, PARENT_CHECK_MS)
  timer.unref()
  if (cluster.worker) cluster.worker.exitedAfterDisconnect = true
  process.once('disconnect', lose)
  return (listener) => {
    listeners.push(listener)
    if (isLost) listener()
  }
}
