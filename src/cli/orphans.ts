/**
 * What a master that was killed has left, told by every command that finds no master, and ended by
 * `stop --force`. Who they are is looked up anew each time: nobody keeps a list of them.
 */
import { ShiftworkError } from '../errors.ts'
import { findOrphans } from '../ipc/findorphans.ts'
import { type Orphan, orphanHint, orphanName, orphanStatus } from '../ipc/orphan.ts'
import { isAlive, signal, waitUntilGone } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { plural } from '../words.ts'

/** From SIGKILL to the end. One that hangs in the kernel takes longer, and is named. */
const DEATH_MS = 5_000
/** What they start while they are looked for is found at the next look; a flood of processes is given up on. */
const MAX_LOOKS = 20

/** An error that says that nothing runs, with what lives of an earlier master; any other as it is. */
export async function withOrphans(error: unknown, stateDir: StateDir): Promise<unknown> {
  if (!(error instanceof ShiftworkError) || error.code !== 'ERR_NOT_RUNNING') return error
  const orphans = await findOrphans(stateDir.path)
  const hint = orphans.length === 0 ? error.hint : orphanHint(orphans, Date.now())
  const facts = { ...error.facts, orphans: orphans.map(orphanStatus) }
  return new ShiftworkError(error.code, error.message, { hint, facts, cause: error.cause })
}

/** An error that names some. */
export function namesOrphans({ facts }: ShiftworkError): boolean {
  const { orphans } = facts
  return Array.isArray(orphans) && orphans.length > 0
}

/**
 * Kills every orphan of a state directory, and looks again until there is none.
 * @returns those that were ended; each is verified dead.
 * @throws ShiftworkError for one that is still there.
 */
export async function endOrphans(stateDir: StateDir): Promise<Orphan[]> {
  const ended: Orphan[] = []
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    const found = await findOrphans(stateDir.path)
    if (found.length === 0) return ended
    for (const orphan of found) signal(orphan, 'SIGKILL')
    await Promise.all(found.map((orphan) => waitUntilGone(orphan, DEATH_MS)))
    const left = found.find(isAlive)
    if (left) throw stillThere(left.pid)
    ended.push(...found)
  }
  throw new ShiftworkError('ERR_WORKER_FAILED', 'What an earlier master has left goes on starting processes', {
    hint: `${plural(ended.length, 'process', 'processes')} were ended.`,
  })
}

/** What is left although it was sent SIGKILL. */
export function stillThere(pid: number): ShiftworkError {
  return new ShiftworkError('ERR_WORKER_FAILED', `Process ${pid} is still there`, {
    hint: `It may hang in the kernel; look at it with: ps -o pid,stat,wchan,args -p ${pid}`,
  })
}

const MAX_NAMED = 8

/** `killed: web/0 pid 4711, web/1 pid 4712, left by master 4700`. */
export function endedSentence(ended: readonly Orphan[]): string {
  const named = ended.slice(0, MAX_NAMED).map(orphanName)
  const more = ended.length > named.length ? ` and ${ended.length - named.length} more` : ''
  const masters = [...new Set(ended.map(({ masterPid }) => masterPid))]
  return `killed: ${named.join(', ')}${more}, left by master ${masters.join(' and ')}`
}
