/**
 * The master's signals in one table: signal, the command word that means the same, and what is done.
 * Called by the master's main. A signal that is not here keeps what Node.js does with it.
 */
import { closeSync, openSync } from 'node:fs'
import { systemCode } from '../errors.ts'
import type { CommandName } from '../ipc/commands.ts'
import { isUnderNohup } from '../os/nohup.ts'

export interface SignalActions {
  stop(how: { graceful: boolean; force: boolean }): void
  reload(): void
  /** One worker more (1) or less (-1) in every reloadable group. */
  scale(by: 1 | -1): void
  reopenLog(): void
  /** The terminal went away, and nothing is done for it. */
  outliveTerminal(): void
}

interface SignalRow {
  readonly signal: NodeJS.Signals
  readonly command: CommandName | null
  readonly act: (actions: SignalActions) => void
}

/** Ctrl-C under a loader's parent process arrives twice, 30 ms apart: only a later one means "now". */
const SECOND_SIGNAL_MS = 500
/** The kernel and the shell both tell of a terminal that went away. */
const TERMINAL_SIGNALS_MS = 1_000

/** Binds every row. @returns a function that unbinds them. */
export function bindSignals(actions: SignalActions): () => void {
  const hadTerminal = hasTerminal()
  const isImmune = isUnderNohup()
  let firstStopAt: number | null = null
  const stopSoft = (): void => {
    const now = performance.now()
    const isSecond = firstStopAt !== null && now - firstStopAt >= SECOND_SIGNAL_MS
    firstStopAt ??= now
    actions.stop({ graceful: false, force: isSecond })
  }
  let lostAt: number | null = null
  // a shell may end without a word: what comes later is no news of the terminal
  const looks = isImmune && hadTerminal ? setInterval(() => noteLoss(), TERMINAL_SIGNALS_MS).unref() : null
  const noteLoss = (): void => {
    if (lostAt !== null || hasTerminal()) return
    clearInterval(looks ?? undefined)
    lostAt = performance.now()
    actions.outliveTerminal()
  }
  const hangup = (): void => {
    const now = performance.now()
    const isLost = hadTerminal && !hasTerminal()
    const sinceLossMs = isLost && lostAt !== null ? now - lostAt : null
    if (isLost) lostAt ??= now
    const meaning = meaningOfHangup({ isLost, isImmune, sinceLossMs })
    if (meaning === 'stop') stopSoft()
    else if (meaning === 'reload') actions.reload()
    else if (sinceLossMs === null) actions.outliveTerminal()
  }
  const rows: readonly SignalRow[] = [
    { signal: 'SIGTERM', command: 'stop', act: stopSoft },
    { signal: 'SIGINT', command: 'stop', act: stopSoft },
    { signal: 'SIGQUIT', command: 'stop', act: (to) => to.stop({ graceful: true, force: false }) },
    { signal: 'SIGHUP', command: 'reload', act: hangup },
    { signal: 'SIGUSR2', command: 'reload', act: (to) => to.reload() },
    { signal: 'SIGTTIN', command: 'scale', act: (to) => to.scale(1) },
    { signal: 'SIGTTOU', command: 'scale', act: (to) => to.scale(-1) },
    // without a listener Node.js would open its inspector
    { signal: 'SIGUSR1', command: null, act: (to) => to.reopenLog() },
  ]
  const bound = rows.map((row) => ({ signal: row.signal, listener: () => row.act(actions) }))
  for (const { signal, listener } of bound) process.on(signal, listener)
  return () => {
    clearInterval(looks ?? undefined)
    for (const { signal, listener } of bound) process.off(signal, listener)
  }
}

/**
 * What a SIGHUP means: it comes when the terminal goes away, and when somebody asks for a reload.
 * @param how `isImmune`: started with nohup. `sinceLossMs`: since the first that came without the terminal; null: this one.
 */
export function meaningOfHangup(how: {
  isLost: boolean
  isImmune: boolean
  sinceLossMs: number | null
}): 'stop' | 'reload' | 'nothing' {
  if (!how.isLost) return 'reload'
  if (!how.isImmune) return 'stop'
  return how.sinceLossMs !== null && how.sinceLossMs >= TERMINAL_SIGNALS_MS ? 'reload' : 'nothing'
}

/** A process whose terminal is gone cannot open it any more (ENXIO, tty(4)). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r+'))
    return true
  } catch (error) {
    // whatever else is in the way, a lack of descriptors, say, tells nothing of it
    return systemCode(error) !== 'ENXIO'
  }
}
