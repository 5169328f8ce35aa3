/**
 * `restart`: stops the master that runs, then starts in its mode. What can be found out is found out before
 * anything is stopped, and a start that fails all the same says that nothing runs any more.
 */
import { type Address, addressKey, overlaps } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import type { ExitCode } from '../ipc/commands.ts'
import { findOrphans } from '../ipc/findorphans.ts'
import { isHeldOnlyBy } from '../ipc/holder.ts'
import { workersOf } from '../ipc/workersof.ts'
import type { ProcessId } from '../os/processes.ts'
import { assertUser } from '../os/users.ts'
import { formerMode, type Mode } from './formermode.ts'
import { endOrphans } from './orphans.ts'
import { assertFiles, begin, findLiving, formerSentence, type StartContext } from './start.ts'
import { stopMaster } from './stop.ts'

/** The start file was read to come here. */
export async function restart(context: StartContext): Promise<ExitCode> {
  const { specs } = context.check()
  const { stateDir, line } = context
  const master = await findLiving(stateDir)
  const former = master && (await formerMode(stateDir, master, line))
  const daemon = line.daemon || former?.daemon === true
  const watch = line.watch ?? (former?.watching === true ? { everyMs: 0 } : null)
  const again = { ...context, line: { ...line, watch, daemon } }
  assertFiles(again)
  for (const spec of specs) assertUser(spec)
  if (master && former) await assertAddresses(context, master, former)
  const isStopped = master !== null && (await stopUnlessGone(context, master))
  return await beginAgain(again, isStopped ? master.pid : null)
}

/** @throws ShiftworkError for an address that another program has. */
async function assertAddresses({ tryAddresses, stateDir, line }: StartContext, master: ProcessId, former: Mode) {
  const orphans = line.force ? await findOrphans(stateDir.path) : []
  const pids = [master, ...workersOf(master), ...orphans].map(({ pid }) => pid)
  const isOverlapped = (address: Address): boolean => former.addresses.some((held) => overlaps(held, address))
  await tryAddresses({
    has: (address) => former.addresses.some((held) => addressKey(held) === addressKey(address)),
    isInTheWay: (address) => (process.platform === 'linux' ? isHeldOnlyBy(address, pids) : isOverlapped(address)),
  })
}

/** @returns false for one that has ended by itself since it was looked for. */
async function stopUnlessGone({ stateDir, line }: StartContext, master: ProcessId): Promise<boolean> {
  try {
    await stopMaster(stateDir, master, line)
    return true
  } catch (error) {
    if (!(error instanceof ShiftworkError) || error.code !== 'ERR_NOT_RUNNING') throw error
    return false
  }
}

async function beginAgain(context: StartContext, former: number | null): Promise<ExitCode> {
  try {
    if (context.line.force) await endOrphans(context.stateDir)
    return await begin(context, { former })
  } catch (error) {
    throw former === null ? error : withFormer(error, former)
  }
}

function withFormer(error: unknown, former: number): unknown {
  if (!(error instanceof ShiftworkError)) return error
  const { code, message, facts, cause } = error
  const hint = [error.hint ?? [], formerSentence(former)].flat().join('\n')
  return new ShiftworkError(code, message, { hint, facts, cause })
}
