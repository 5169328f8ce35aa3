/**
 * `stop`: done when every process is verified dead. With `--force` also a master that cannot hear, and what
 * one that was killed has left.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import { EXIT, type ExitCode } from '../ipc/commands.ts'
import { orphanStatus } from '../ipc/orphan.ts'
import type { Question } from '../ipc/requests.ts'
import type { StopFault } from '../ipc/status.ts'
import { workersOf } from '../ipc/workersof.ts'
import { isHeld } from '../os/occupancy.ts'
import { isSameProcess, readPidFile } from '../os/pidfile.ts'
import { isStopped, type ProcessId, signal, waitUntilGone } from '../os/processes.ts'
import type { StateDir } from '../os/statedir.ts'
import { plural } from '../words.ts'
import { ask, findHolder, frozen, notRunning } from './client.ts'
import { endedSentence, endOrphans, stillThere } from './orphans.ts'
import { OtherVersion } from './otherversion.ts'
import type { CommandLine } from './parse.ts'
import { describeProgress, ProgressBoard } from './progress.ts'
import { refusal } from './reload.ts'
import { stopFaultLines } from './render.ts'
import { paintFor, printJson, printLine } from './terminal.ts'

/** From a master's last reply to its end. */
const LAST_STEPS_MS = 5_000
const LEAVE_LOOK_MS = 20
/** A master that drains may be stopped by a signal while it is waited for. */
const FREEZE_LOOK_MS = 1_000

/** Null: not known, of a master of another version that was stopped with a signal. */
export interface Stopped {
  processes: number
  connectionsCut: number | null
  /** Processes that had to be killed: what they had open is not in `connectionsCut`. */
  killed: number | null
  /** Processes that ended before their drain was over, by their own code or by somebody's signal: the same. */
  leftEarly: number | null
  /** What workers did not bring to its end in `onWorkerStop`. */
  stopFaults: StopFault[] | null
  forced: boolean
}

export async function stop(stateDir: StateDir, line: CommandLine): Promise<ExitCode> {
  const holder = await findHolder(stateDir)
  if (!holder && !line.force) throw notRunning()
  const master = holder === 'unseen' ? null : holder
  const stopped = holder && (await stopMaster(stateDir, master, line))
  // workers of an earlier master, and what the workers of one that was killed have started
  const orphans = line.force ? await endOrphans(stateDir) : []
  if (!stopped && orphans.length === 0) throw notRunning()
  if (line.json) {
    const counts = stopped ?? {
      processes: orphans.length,
      connectionsCut: 0,
      killed: orphans.length,
      leftEarly: 0,
      stopFaults: [],
      forced: true,
    }
    printJson({ stopped: true, pid: master?.pid ?? null, ...counts, orphans: orphans.map(orphanStatus) })
  } else {
    if (stopped) printLine(sentence(master, stopped))
    for (const text of stopFaultLines(stopped?.stopFaults ?? [], paintFor(process.stdout))) printLine(text)
    if (orphans.length > 0) printLine(endedSentence(orphans))
  }
  return EXIT.done
}

function sentence(master: ProcessId | null, stopped: Stopped): string {
  const { forced, processes, connectionsCut, killed, leftEarly } = stopped
  const paint = paintFor(process.stdout)
  const remark = (count: number | null, noun: string, rest: string): string =>
    count === null || count === 0 ? '' : `, ${paint.yellow(`${plural(count, noun)} ${rest}`)}`
  const workers = processes > 0 ? ` and ${plural(processes, 'worker')}` : ''
  return [
    `${forced ? 'killed' : 'stopped'}: ${master ? `master ${master.pid}` : UNSEEN}${workers}`,
    remark(connectionsCut, 'connection', 'cut'),
    remark(forced ? 0 : killed, 'worker', 'killed with what they had'),
    remark(leftEarly, 'worker', 'left before the drain was over'),
  ].join('')
}

/** Its pid means nothing here. */
const UNSEEN = 'the master that answered'

/**
 * Stops it gracefully, or by force when that was asked and it does not hear; returns when all are dead.
 * @param master null: one that our process table does not show. No signal is for it; its word is all there is.
 */
export async function stopMaster(
  stateDir: StateDir,
  master: ProcessId | null,
  how: Pick<CommandLine, 'graceful' | 'force' | 'timeoutMs' | 'json'>,
): Promise<Stopped> {
  // a stop may take its time; a log needs only what it came to
  const board = process.stdout.isTTY && !how.json ? new ProgressBoard(process.stdout, describeProgress) : null
  // remembered now: once their master is dead, nothing tells whose they were
  const workers = master ? workersOf(master) : []
  const named = readPidFile(stateDir.pidFile)
  try {
    const { graceful, timeoutMs } = how
    const question: Question = { command: 'stop', graceful, timeoutMs }
    const reply = await ask(stateDir, question, (progress) => board?.show(progress))
    board?.end()
    if (reply.type !== 'stopped') throw refusal(reply)
    if (master) await verifyGone([master, ...workers])
    else await verifyLeft(stateDir, named)
    const { processes, connectionsCut, killed, leftEarly, stopFaults } = reply
    return { processes, connectionsCut, killed, leftEarly, stopFaults, forced: false }
  } catch (error) {
    if (!master) throw error
    if (error instanceof OtherVersion) return stopBySignal(master, workers, how)
    const isLost = error instanceof ShiftworkError && error.code === 'ERR_NO_ANSWER'
    if (!isLost || !how.force) throw error
    assertMortal(master)
    await killAll(master, workers)
    const killed = workers.length
    return { processes: killed, connectionsCut: 0, killed, leftEarly: 0, stopFaults: [], forced: true }
  }
}

/** The signals of a graceful stop mean the same in every version, and take as long as that takes. */
async function stopBySignal(
  master: ProcessId,
  workers: readonly ProcessId[],
  { graceful }: Pick<CommandLine, 'graceful'>,
): Promise<Stopped> {
  const name = graceful ? 'SIGQUIT' : 'SIGTERM'
  process.stderr.write(`The master (pid ${master.pid}) is of another version of Shiftwork: ${name} stops it\n`)
  signal(master, name)
  while (!(await waitUntilGone(master, FREEZE_LOOK_MS))) if (isStopped(master.pid)) throw frozen(master.pid)
  await verifyGone(workers)
  const unknown = { connectionsCut: null, killed: null, leftEarly: null, stopFaults: null }
  return { processes: workers.length, ...unknown, forced: false }
}

/** The kernel ignores what would end the first process of a container, when it comes from within (pid_namespaces(7)). */
export function assertMortal({ pid }: ProcessId): void {
  if (pid !== 1) return
  throw new ShiftworkError('ERR_NO_ANSWER', 'The master (pid 1) does not answer, and cannot be killed from here', {
    hint: 'It is the first process of its container: end the container. Its workers were left alone.',
  })
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

/** One that we do not see has let go of the state directory; the next one may have it already. */
async function verifyLeft(stateDir: StateDir, former: ProcessId | null): Promise<void> {
  const giveUpAt = performance.now() + LAST_STEPS_MS
  while (isSame(readPidFile(stateDir.pidFile), former) && (await isHeld(stateDir))) {
    if (performance.now() >= giveUpAt)
      throw new ShiftworkError('ERR_WORKER_FAILED', `The master that answered in ${stateDir.path} is still there`)
    await delay(LEAVE_LOOK_MS)
  }
}

function isSame(one: ProcessId | null, other: ProcessId | null): boolean {
  return one && other ? isSameProcess(one, other) : one === other
}

async function verifyGone(processes: readonly ProcessId[]): Promise<void> {
  for (const id of processes) {
    if (!(await waitUntilGone(id, LAST_STEPS_MS))) throw stillThere(id.pid)
  }
}
