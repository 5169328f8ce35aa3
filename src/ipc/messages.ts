/**
 * Every message that crosses a process boundary: worker ↔ master over Node's IPC channel, command
 * line ↔ master over the control socket, daemon → launcher. One envelope marks ours, so that user
 * code may send its own messages over the same channel.
 */
import type { ErrorCode } from '../errors.ts'
import type { DescriptorUse } from '../os/descriptors.ts'
import type { Settings } from '../spec/settings.ts'
import type { Spec } from '../spec/spec.ts'
import type { BroadcastResult, WireData } from './broadcast.ts'
import type { ConnectionPage, ConnectionRow } from './connections.ts'
import { WIRE_VERSION } from './requests.ts'
import type { Failure, Figures, ReloadFailure, ReloadPlan, ReloadSummary, Scaled, Status, StopFault } from './status.ts'

/** Why a child drains. The same word reaches `onWorkerStop(worker, reason)`. */
export type StopReason = 'stop' | 'reload' | 'recycle' | 'scale' | 'crash' | 'hang' | 'cancelled' | 'orphaned'

/** Why a child wants a successor although its code is right. */
export type ReplaceReason = 'signal' | 'maxRequests' | 'maxMemoryBytes' | 'maxLifetimeMs' | 'unhealthy'

/** Who a forked process is; handed over in its environment. */
export interface Identity {
  wireVersion: number
  startFile: string
  name: string
  id: number
  generation: number
  /** 1, or more when the start before this one failed. */
  attempt: number
  /** It only reads the start file, tells what it says, and ends. */
  isReader: boolean
}

/** What was left undone when a child drained. */
export interface DrainReport {
  /** Connections closed by force at the deadline. */
  connectionsCut: number
  /** What they were doing, for the log: `GET /slow from 10.0.0.7, 12.1 s`. At most ten. */
  cut: string[]
  /** `onWorkerStop` had not settled at the deadline. */
  hookUnfinished: boolean
  /** What it threw; null: nothing. */
  hookError: string | null
}

export interface WorkerStats {
  connections: number
  requests: number
  heapUsedBytes: number
  /** Processor time, user and system, since the process started. */
  cpuMs: number
  /** How long the event loop was busy, and idle, since then. */
  loopActiveMs: number
  loopIdleMs: number
  /** Null: nobody asked, or the user's code has nothing to say. */
  figures: Figures | null
}

/** The `question` of numbers that nobody asked for: a worker's last. */
export const UNASKED = 0

export type WorkerMessage =
  /** Hears orders from now on; comes before anything else. */
  | { type: 'here' }
  | { type: 'loaded'; version: string; specs: Spec[]; settings: Settings }
  | { type: 'prepared' }
  | { type: 'serving' }
  | { type: 'failed'; failure: Failure; output: string }
  /** Accepts nothing any more, and leads no more. */
  | { type: 'draining' }
  /** And nothing that it did as leader is still under way: another may lead. */
  | { type: 'resigned' }
  /** An uncaught exception: it drains by itself and wants a successor now. */
  /** `timeoutMs`: it will be gone by then, as far as it lies with itself. */
  | { type: 'leaving'; failure: Failure; timeoutMs: number }
  | { type: 'replace'; why: ReplaceReason; detail: string | null }
  /** Hardly any file descriptor is left: it listens no more. `isNews`: not told a moment ago. */
  | { type: 'full'; use: DescriptorUse; isNews: boolean }
  /** Has some again, and wants the listening handle: answered by `serve`. `isNews`: as it was for `full`. */
  | { type: 'roomy'; use: DescriptorUse; isNews: boolean }
  | { type: 'drained'; report: DrainReport }
  | { type: 'exiting'; code: number; output: string }
  | { type: 'output'; text: string }
  | { type: 'stats'; question: number; stats: WorkerStats }
  /** Answers `list`. */
  | { type: 'listed'; question: number; page: ConnectionPage }
  /** Answers `deliver`: so many connections took it. */
  | { type: 'delivered'; question: number; connections: number }
  /** To the connections of all processes of a group; answered by `broadcasted`. */
  | { type: 'broadcast'; question: number; group: string; data: WireData }
  /** Answers `ping`. `isDebugged`: an inspector is open, which may hold this process for as long as it likes. */
  | { type: 'pong'; isDebugged: boolean }

export type MasterMessage =
  /** Carries the listening handle, when the group has a listener; to one that was `full`, once more. */
  | { type: 'serve' }
  /** `timeoutMs` null: no deadline. `lingerMs`: how long idle connections may stay, null: their own timeout. */
  | { type: 'drain'; reason: StopReason; timeoutMs: number | null; lingerMs: number | null }
  | { type: 'lead' }
  /** Answers `draining`: connections that node:cluster hands out are no longer on their way to it. */
  | { type: 'released' }
  | { type: 'reloaded' }
  | { type: 'stats'; question: number }
  /** Asks for a page of the open connections: the first of this list, or the next. */
  | { type: 'list'; question: number; list: number; isFirst: boolean }
  /** To every open connection of the process. */
  | { type: 'deliver'; question: number; data: WireData }
  /** Answers `broadcast`; null: there is no such group. */
  | { type: 'broadcasted'; question: number; result: BroadcastResult | null }
  | { type: 'ping' }

/** Ours, from this version: anything else on the channel is the user's. */
export interface Envelope<T> {
  shiftwork: typeof WIRE_VERSION
  body: T
}

export function seal<T>(body: T): Envelope<T> {
  return { shiftwork: WIRE_VERSION, body }
}

/** The message inside, or null when it is not one of ours. */
export function unseal<T>(received: unknown): T | null {
  if (typeof received !== 'object' || received === null || !('shiftwork' in received) || !('body' in received))
    return null
  return received.shiftwork === WIRE_VERSION ? (received.body as T) : null
}

// ---- control socket ------------------------------------------------------------------------------------------------

/** A line while an operation goes on. */
export interface Progress {
  type: 'progress'
  name: string
  id: number
  state: 'starting' | 'retrying' | 'prepared' | 'serving' | 'draining' | 'left' | 'failed'
  pid: number
  generation: number
  /** Since the process was forked, or, for `left`, since its drain began. */
  ms: number
  /** False until it does: what leaves then was only tried. Missing in what an older master says. */
  hasServed: boolean
  detail: string | null
}

/** What a command that runs for an operation prints, a line of it. */
export interface HookOutput {
  type: 'output'
  /** `preReload` */
  source: string
  text: string
}

/** Some of the open connections, in no order. */
export interface ConnectionRows {
  type: 'rows'
  rows: ConnectionRow[]
}

export type Reply =
  | { type: 'status'; status: Status }
  | { type: 'reload'; reload: ReloadSummary }
  | { type: 'plan'; plan: ReloadPlan }
  | { type: 'scaled'; scaled: Scaled }
  /** After the rows; `missing`: the pids of those that did not answer, or not to the end. */
  | { type: 'listed'; missing: number[] }
  /** `killed` of the processes had to be, `leftEarly` ended in the middle of their drain: what they had open is not in `connectionsCut`. */
  | {
      type: 'stopped'
      processes: number
      connectionsCut: number
      killed: number
      leftEarly: number
      stopFaults: StopFault[]
    }
  /** Its log says how it went. */
  | { type: 'reopened' }
  | { type: 'error'; code: 'usage' | 'cancelled' | 'failed'; message: string; hint: string | null }

/** The master has read the request: it lives. Comes before anything else. */
export interface Accepted {
  type: 'accepted'
}

export type ControlMessage = Accepted | Progress | HookOutput | ConnectionRows | Reply

// ---- daemon → launcher ---------------------------------------------------------------------------------------------

export type LaunchMessage =
  | { type: 'started'; status: Status; durationMs: number }
  /** `code` of an error of ours. */
  | { type: 'failed'; code: ErrorCode | null; message: string; hint: string | null; failure: ReloadFailure | null }
