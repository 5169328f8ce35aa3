/**
 * `restart`: stops the master that runs, then starts in its mode. What can be found out is found out before
 * anything is stopped; from then on the first Ctrl-C does not end it, and a start that fails says that nothing runs.
 */
import { type Address, addressKey, overlaps } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import type { ExitCode } from '../ipc/commands.ts'
import { findOrphans } from '../ipc/findorphans.ts'
import { isHeldByOthers } from '../ipc/holder.ts'
import type { StopFault } from '../ipc/status.ts'
import { workersOf } from '../ipc/workersof.ts'
import { alreadyRunning, isSameProcess } from '../os/pidfile.ts'
import { isAlive, type ProcessId, userOf } from '../os/processes.ts'
import { assertUser, userName } from '../os/users.ts'
import type { Spec } from '../spec/spec.ts'
import { findMaster } from './client.ts'
import { followFaster } from './faster.ts'
import { formerMode, type Mode } from './formermode.ts'
import { FIRST_ENDS, SecondEnds } from './interrupts.ts'
import { endOrphans } from './orphans.ts'
import type { CommandLine } from './parse.ts'
import { stopFaultLines } from './render.ts'
import { begin, findLiving } from './start.ts'
import { assertFiles, formerSentence, type StartContext } from './startcontext.ts'
import { stopMaster } from './stop.ts'
import { paintFor } from './terminal.ts'

/** The start file was read to come here. */
export async function restart(context: StartContext): Promise<ExitCode> {
  try {
    return await prepare(context)
  } catch (error) {
    if (!isBeaten(error)) throw error
    return await followFaster(context, error)
  }
}

/** Another one has started since this one has looked. */
function isBeaten(error: unknown): error is ShiftworkError {
  return error instanceof ShiftworkError && error.code === 'ERR_ALREADY_RUNNING'
}

async function prepare(context: StartContext): Promise<ExitCode> {
  const { specs } = context.check()
  const { stateDir, line } = context
  const master = await findLiving(stateDir)
  if (master) assertSameUser(master, specs)
  const former = master && (await formerMode(stateDir, master, line))
  // since this command was typed: it runs what this one would start
  if (master && former && former.startedAt >= performance.timeOrigin) throw alreadyRunning(master)
  const daemon = line.daemon || former?.daemon === true
  const watch = line.watch ?? (former?.watching === true ? { everyMs: 0 } : null)
  const again = { ...context, line: { ...line, watch, daemon } }
  assertFiles(again)
  for (const spec of specs) assertUser(spec)
  if (master && former) await assertAddresses(context, master, former)
  return master ? replace(again, master) : beginAgain(again, { former: null, interrupts: null })
}

/** @throws ShiftworkError where workers of one user would become those of another, root as a rule. */
function assertSameUser({ pid }: ProcessId, specs: readonly Spec[]): void {
  const theirs = userOf(pid)
  const own = process.getuid?.() ?? null
  const changing = specs.find(({ user }) => user === null)
  if (theirs === null || own === null || theirs === own || !changing) return
  const user = userName(theirs)
  const sentence = `The master (pid ${pid}) runs as ${user}, and worker "${changing.name}" would run as ${userName(own)}`
  throw new ShiftworkError('ERR_USER', sentence, {
    hint: `Type it as that user: sudo -u ${user} …; or, if it is meant, stop it and then start it.`,
  })
}

/** @throws ShiftworkError for an address that another program has. */
async function assertAddresses(context: StartContext, master: ProcessId, { addresses }: Mode): Promise<void> {
  const { stateDir, line } = context
  const orphans = line.force ? await findOrphans(stateDir.path) : []
  const pids = [master, ...workersOf(master), ...orphans].map(({ pid }) => pid)
  // where the system does not say who listens, nothing is refused for want of knowledge
  const mayBeOurs = (address: Address): boolean =>
    addresses.length === 0 || addresses.some((held) => overlaps(held, address))
  const isInTheWay = (address: Address): boolean =>
    process.platform === 'linux' ? !isHeldByOthers(address, pids) : mayBeOurs(address)
  const has = (address: Address): boolean => addresses.some((held) => addressKey(held) === addressKey(address))
  try {
    await context.tryAddresses({ has, isInTheWay })
  } catch (error) {
    // what is in the way may be the master of a restart that was faster
    assertNotReplaced(context, master)
    throw error
  }
}

/** @throws ShiftworkError `ERR_ALREADY_RUNNING` */
function assertNotReplaced({ stateDir }: StartContext, master: ProcessId): void {
  const latest = findMaster(stateDir)
  if (latest && !isSameProcess(latest, master)) throw alreadyRunning(latest)
}

async function replace(context: StartContext, master: ProcessId): Promise<ExitCode> {
  const note = 'The restart goes on, so that nothing is left half done; Ctrl-C once more ends it'
  const interrupts = new SecondEnds(() => void process.stderr.write(`${note}\n`))
  const work = async (): Promise<ExitCode> => {
    assertNotReplaced(context, master)
    // what is asked of one that is gone would reach the next one
    const isStopped = isAlive(master) && (await stopUnlessGone(context, master))
    return beginAgain(context, { former: isStopped ? master.pid : null, interrupts })
  }
  return new Promise((resolve, reject) => {
    interrupts.heed(() => reject(givenUp(master)))
    // one that is given up heeds them until it has said so
    const done = work().finally(() => interrupts.end())
    done.then(resolve, reject)
  })
}

function givenUp(master: ProcessId): ShiftworkError {
  const isLeaving = isAlive(master)
  // whether it has heard it is not known by now
  const state = isLeaving ? 'was asked to stop' : 'was stopped'
  return new ShiftworkError('ERR_WORKER_FAILED', `The master (pid ${master.pid}) ${state} and was NOT started again`, {
    hint: isLeaving
      ? 'See whether it runs: status. When it is gone: start, or start -d.'
      : 'Start it: start, or start -d.',
  })
}

/** @returns false for one that has ended by itself since it was looked for. */
async function stopUnlessGone({ stateDir, line }: StartContext, master: ProcessId): Promise<boolean> {
  try {
    const { stopFaults } = await stopMaster(stateDir, master, line)
    showStopFaults(stopFaults ?? [], line)
    return true
  } catch (error) {
    if (!(error instanceof ShiftworkError) || error.code !== 'ERR_NOT_RUNNING') throw error
    return false
  }
}

/** What a program reads is what was started. */
function showStopFaults(faults: readonly StopFault[], { json }: CommandLine): void {
  const stream = json ? process.stderr : process.stdout
  for (const text of stopFaultLines(faults, paintFor(stream))) stream.write(`${text}\n`)
}

interface After {
  former: number | null
  /** Null: nothing was stopped. */
  interrupts: SecondEnds | null
}

async function beginAgain(context: StartContext, { former, interrupts }: After): Promise<ExitCode> {
  try {
    if (context.line.force) await endOrphans(context.stateDir)
    return await begin(context, { former, interrupts: interrupts ?? FIRST_ENDS, bound: () => interrupts?.end() })
  } catch (error) {
    throw former === null || isBeaten(error) ? error : withFormer(error, former)
  }
}

function withFormer(error: unknown, former: number): unknown {
  if (!(error instanceof ShiftworkError)) return error
  const { code, message, facts, cause } = error
  const hint = [error.hint ?? [], formerSentence(former)].flat().join('\n')
  return new ShiftworkError(code, message, { hint, facts, cause })
}
