/** What the policy wants done, as values. The supervisor does them in order; tests read them. */
import type { StopReason } from '../../ipc/messages.ts'
import type { ReloadSummary, Scaled } from '../../ipc/status.ts'
import type { Spec } from '../../spec/spec.ts'
import type { Child } from './fleet.ts'

/** partial: there is more to come · whole: it is complete · stale: it is, and a later reload was complete before it */
export type Completeness = 'partial' | 'whole' | 'stale'

export type Action =
  | { do: 'spawn'; child: Child; spec: Spec }
  /** `listener` is the key of the one that it serves on. */
  | { do: 'serve'; child: Child; listener: string | null }
  | { do: 'drain'; child: Child; reason: StopReason; timeoutMs: number | null; lingerMs: number | null }
  /** Has not answered for too long: it counts as gone, and soon it is. */
  | { do: 'hung'; child: Child }
  | { do: 'kill'; child: Child; why: string }
  | { do: 'lead'; child: Child }
  /** Answered by the event `bound`. */
  | { do: 'bind'; key: string; spec: Spec }
  | { do: 'close-listener'; key: string }
  /** Runs the command that must succeed before this reload; answered by the event `gate`. */
  | { do: 'open-gate'; reload: number }
  | { do: 'end-gate' }
  /** A process only reads the start file; answered by the event `read`. */
  | { do: 'read-start-file'; reload: number }
  | { do: 'started' }
  | { do: 'start-failed' }
  | { do: 'reload-began'; ids: number[]; groups: string[] }
  | { do: 'reload-served'; groups: string[]; generation: number }
  /** For those of its askers who are answered now. */
  | { do: 'answer'; ids: number[]; summary: ReloadSummary; completeness: Completeness }
  | { do: 'answer-scale'; ids: number[]; summary: Scaled }
  | { do: 'stopped' }
