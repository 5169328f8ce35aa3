/** What the policy wants done, as values. The supervisor does them in order; tests read them. */
import type { StopReason } from '../ipc/messages.ts'
import type { ReloadSummary } from '../ipc/status.ts'
import type { Spec } from '../spec/spec.ts'
import type { Child } from './fleet.ts'

export type Action =
  | { do: 'spawn'; child: Child; spec: Spec }
  | { do: 'serve'; child: Child }
  | { do: 'drain'; child: Child; reason: StopReason; timeoutMs: number | null; lingerMs: number | null }
  | { do: 'kill'; child: Child; why: string }
  | { do: 'lead'; child: Child }
  | { do: 'close-listener'; name: string }
  | { do: 'started' }
  | { do: 'start-failed' }
  /** The reload's summary is final; everyone who asked for it gets it. */
  | { do: 'answer'; ids: number[]; summary: ReloadSummary }
  | { do: 'reload-began'; groups: string[] }
  | { do: 'reload-served'; groups: string[]; generation: number }
  | { do: 'stopped' }
