/** What happens in a master, as it happens, for people and programs that watch: log, progress, hooks. */
import type { ReplaceReason, WorkerStats } from '../ipc/messages.ts'
import type { ReloadFailure, ReloadSummary, Scaled } from '../ipc/status.ts'
import type { DescriptorUse } from '../os/descriptors.ts'
import type { Ended } from '../os/endcarriers.ts'
import type { Child } from './policy/fleet.ts'

export type Notice =
  | {
      type: 'child'
      what: 'spawned' | 'prepared' | 'serving' | 'draining' | 'failed'
      child: Child
      detail: string | null
    }
  | { type: 'left'; child: Child; code: number | null; signal: string | null }
  /** What it had started, and did not end, is ended. */
  | { type: 'swept'; child: Child; ended: Ended[] }
  | { type: 'kill'; child: Child; why: string }
  | { type: 'leader'; child: Child }
  | { type: 'replace'; child: Child; why: ReplaceReason; detail: string | null }
  /** It listens no more, for want of file descriptors, or again. */
  | { type: 'descriptors'; child: Child; what: 'full' | 'roomy'; use: DescriptorUse }
  /** A worker's numbers, asked for or its last. */
  | { type: 'stats'; child: Child; stats: WorkerStats }
  | { type: 'listener'; what: 'bound' | 'closed'; address: string }
  /** `text` is the command, or a line that it printed. */
  | { type: 'gate'; what: 'began' | 'printed'; text: string }
  | { type: 'started' }
  /** `isWaiting`: for a change, instead of ending. */
  | { type: 'start-failed'; failure: ReloadFailure | null; isWaiting: boolean }
  | { type: 'reload-began'; groups: string[] }
  /** `isLatest`: none that began after it has ended before. */
  | { type: 'reload-ended'; summary: ReloadSummary; isLatest: boolean }
  | { type: 'scale-ended'; summary: Scaled }
  | { type: 'stopping' }
  | { type: 'stopped' }
