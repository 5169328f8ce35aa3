/**
 * The life of one worker process as a table: what each event does in each state. Called by the
 * fleet only; it decides nothing and does nothing, an effect is a word that the supervisor acts on.
 * An event that has no cell is stale or the other side's mistake, and is dropped.
 */

/**
 * starting: forked, the start file and `onWorkerStart` run · prepared: both settled, listens not ·
 * admitted: told to listen · serving: it does · hung: it did, and its event loop is blocked · draining: accepts
 * nothing new, finishes, leaves · killed: SIGKILL was sent · exited: gone, its pid means nothing any more
 */
export type ChildState = 'starting' | 'prepared' | 'admitted' | 'serving' | 'hung' | 'draining' | 'killed' | 'exited'

export type ChildEvent =
  | 'prepared'
  | 'admit'
  | 'serving'
  | 'failed'
  | 'leaving'
  | 'hang'
  | 'drain'
  | 'deadline'
  | 'exit'

export type ChildEffect = 'send-serve' | 'send-drain' | 'kill'

interface Cell {
  readonly to: ChildState
  readonly effect?: ChildEffect
}

const DRAIN = { to: 'draining', effect: 'send-drain' } as const
const KILL = { to: 'killed', effect: 'kill' } as const
const FAIL = { to: 'draining' } as const
const EXIT = { to: 'exited' } as const

export const CHILD_TABLE = {
  starting: { prepared: { to: 'prepared' }, failed: FAIL, leaving: FAIL, drain: DRAIN, deadline: KILL, exit: EXIT },
  prepared: { admit: { to: 'admitted', effect: 'send-serve' }, failed: FAIL, leaving: FAIL, drain: DRAIN, exit: EXIT },
  admitted: { serving: { to: 'serving' }, failed: FAIL, leaving: FAIL, drain: DRAIN, deadline: KILL, exit: EXIT },
  serving: { leaving: FAIL, hang: { to: 'hung' }, drain: DRAIN, exit: EXIT },
  hung: { drain: DRAIN, deadline: KILL, exit: EXIT },
  draining: { drain: DRAIN, deadline: KILL, exit: EXIT },
  killed: { deadline: KILL, exit: EXIT },
  exited: {},
} as const satisfies Record<ChildState, Partial<Record<ChildEvent, Cell>>>

/** The cell for this state and event, or null when the event means nothing there. */
export function transition(state: ChildState, event: ChildEvent): Cell | null {
  const row: Partial<Record<ChildEvent, Cell>> = CHILD_TABLE[state]
  return row[event] ?? null
}

/** Has not served yet and still may. */
export function isComing(state: ChildState): boolean {
  return state === 'starting' || state === 'prepared' || state === 'admitted'
}

export function isGone(state: ChildState): boolean {
  return state === 'exited'
}
