/**
 * `stop`: done when every process is verified dead. With `--force` also a master that cannot hear, and what
 * one that was killed has left.
 */
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { orphanStatus } from '../ipc/orphan.ts'
import type { Question } from '../ipc/requests.ts'
import { workersOf } from '../ipc/workersof.ts'
import { type ProcessId, signal, waitUntilGone } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { plural } from '../words.ts'
import { ask, findMaster, notRunning } from './client.ts'
import { endedSentence, endOrphans, stillThere } from './orphans.ts'
import type { CommandLine } from './parse.ts'
import { describeProgress, ProgressBoard } from './progress.ts'
import { refusal } from './reload.ts'
import { paintFor, printJson, printLine } from './terminal.ts'

/** From a master's last reply to its end. */
const LAST_STEPS_MS = 5_000

export interface Stopped {
  processes: number
  connectionsCut: number
  /** Processes that had to be killed: what they had open is not in `connectionsCut`. */
  killed: number
  /** Processes that ended before their drain was over, by their own code or by somebody's signal: the same. */
  leftEarly: number
  forced: boolean
}

export async function stop(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const master = findMaster(stateDir)
  if (!master && !line.force) throw notRunning()
  const stopped = master && (await stopMaster(stateDir, master, line))
  // workers of an earlier master, and what the workers of one that was killed have started
  const orphans = line.force ? await endOrphans(stateDir) : []
  if (!stopped && orphans.length === 0) throw notRunning()
  if (line.json) {
    const counts = stopped ?? {
      processes: orphans.length,
      connectionsCut: 0,
      killed: orphans.length,
      leftEarly: 0,
      forced: true,
    }
    printJson({ stopped: true, pid: master?.pid ?? null, ...counts, orphans: orphans.map(orphanStatus) })
  } else {
    if (master && stopped) printLine(sentence(master, stopped))
    if (orphans.length > 0) printLine(endedSentence(orphans))
  }
  return EXIT.done
}

function sentence(master: ProcessId, stopped: Stopped): string {
  const how = stopped.forced ? 'killed' : 'stopped'
  const workers = stopped.processes > 0 ? ` and ${plural(stopped.processes, 'worker')}` : ''
  const paint = paintFor(process.stdout)
  const cut =
    stopped.connectionsCut > 0 ? `, ${paint.yellow(`${plural(stopped.connectionsCut, 'connection')} cut`)}` : ''
  const killed =
    stopped.killed > 0 && !stopped.forced
      ? `, ${paint.yellow(`${plural(stopped.killed, 'worker')} killed with what they had`)}`
      : ''
  const early =
    stopped.leftEarly > 0
      ? `, ${paint.yellow(`${plural(stopped.leftEarly, 'worker')} left before the drain was over`)}`
      : ''
  return `${how}: master ${master.pid}${workers}${cut}${killed}${early}`
}

/** Stops it gracefully, or by force when that was asked and it does not hear; returns when all are dead. */
export async function stopMaster(
  stateDir: StateDir,
  master: ProcessId,
  how: Pick<CommandLine, 'graceful' | 'force' | 'timeoutMs' | 'json'>,
): Promise<Stopped> {
  // a stop may take its time; a log needs only what it came to
  const board = process.stdout.isTTY && !how.json ? new ProgressBoard(process.stdout, describeProgress) : null
  // remembered now: once their master is dead, nothing tells whose they were
  const workers = workersOf(master)
  try {
    const { graceful, timeoutMs } = how
    const question: Question = { command: 'stop', graceful, timeoutMs }
    const reply = await ask(stateDir, question, (progress) => board?.show(progress))
    board?.end()
    if (reply.type !== 'stopped') throw refusal(reply)
    await verifyGone([master, ...workers])
    const { processes, connectionsCut, killed, leftEarly } = reply
    return { processes, connectionsCut, killed, leftEarly, forced: false }
  } catch (error) {
    const isLost = error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER'
    if (!isLost || !how.force) throw error
    await killAll(master, workers)
    return { processes: workers.length, connectionsCut: 0, killed: workers.length, leftEarly: 0, forced: true }
  }
}

/** Its pid file and socket stay: the next start sees that they are stale, and may have replaced them already. */
async function killAll(master: ProcessId, workers: readonly ProcessId[]): Promise<void> {
  // stopped, it starts nobody any more, and its workers do not notice yet that it dies
  signal(master, 'SIGSTOP')
  const late = workersOf(master)
  for (const worker of [...workers, ...late]) signal(worker, 'SIGKILL')
  signal(master, 'SIGKILL')
  await verifyGone([master, ...workers, ...late])
}

async function verifyGone(processes: readonly ProcessId[]): Promise<void> {
  for (const id of processes) {
    if (!(await waitUntilGone(id, LAST_STEPS_MS))) throw stillThere(id.pid)
  }
}
