/** A restart that another one has overtaken: what it was to bring about is there when the other's master serves. */
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import type { Status } from '../ipc/status.ts'
import type { StateDir } from '../os/statedir.ts'
import { fetchStatus } from './look.ts'
import type { CommandLine } from './parse.ts'
import { printJson, printLine } from './terminal.ts'

const LOOK_MS = 100
/** A master that starts many workers on a busy machine misses a look or two. */
const SILENCE_MS = 30_000

/**
 * Waits until the other's start has succeeded or failed, for as long as that takes.
 * @param error what is thrown where that master began before this command.
 */
export async function followFaster(
  { stateDir, line }: { stateDir: StateDir; line: CommandLine },
  error: ShiftworkError,
): Promise<ExitCode> {
  let heardAt = performance.now()
  for (;;) {
    const status = await fetchOf(stateDir, { mayBeSilent: performance.now() - heardAt < SILENCE_MS })
    if (!status) continue
    heardAt = performance.now()
    const { pid, startedAt, state } = status.master
    if (Date.parse(startedAt) < performance.timeOrigin) throw error
    if (state !== 'starting' && state !== 'stopping') {
      if (line.json) printJson(status)
      else printLine(`Another restart was faster: master ${pid} is new`)
      return EXIT.done
    }
    await delay(LOOK_MS)
  }
}

/** @returns null: it has not answered this time. */
async function fetchOf(stateDir: StateDir, { mayBeSilent }: { mayBeSilent: boolean }): Promise<Status | null> {
  try {
    return await fetchStatus(stateDir)
  } catch (error) {
    if (mayBeSilent && error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER') {
      await delay(LOOK_MS)
      return null
    }
    if (!(error instanceof ShiftworkError) || error.code !== 'ERR_NOT_RUNNING') throw error
    throw new ShiftworkError('ERR_WORKER_FAILED', 'Another restart was faster, and what it has started is gone again', {
      hint: 'Nothing runs now. Its own output says why.',
      cause: error,
    })
  }
}
