/**
 * A master that a command does not find where it looks, and that lives: its start file has chosen another state
 * directory, which only who evaluates it knows, or its pid file was removed. For `Not running` must be true.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ShiftworkError } from '../errors.ts'
import { findMasters } from '../ipc/findmasters.ts'
import type { Origin } from '../ipc/mark.ts'
import { isSameProcess, readPidFile } from '../os/pidfile.ts'
import { isAlive } from '../os/processes.ts'
import { type StateDir, stateDirAt } from '../os/statedir.ts'
import { isSamePlace } from '../os/viewpoint.ts'
import { notRunning } from './client.ts'

/** A master makes again what was removed, at its next look; one that ends has no pid file in its last moments. */
const FOUND_AGAIN_MS = 3_000
const LOOK_MS = 50

/**
 * @param startFile null: the directory was named, and no other will do.
 * @returns where the one master keeps its state; null: there is none.
 * @throws ShiftworkError for one that cannot be asked, where there are several, and `ERR_NOT_RUNNING` with those that
 * were started with `--state-dir`: who did so wants them told apart.
 */
export async function findElsewhere(stateDir: StateDir, startFile: string | null): Promise<StateDir | null> {
  const origins = await findMasters({ stateDir: stateDir.path, startFile })
  const here = origins.filter((origin) => isIn(stateDir, origin))
  const [origin, ...others] = here.length > 0 ? here : origins.filter(({ byFile }) => byFile)
  if (others.length > 0) throw several(origins, stateDir)
  if (origin) return (await isFound(origin)) ? stateDirAt(origin.stateDir) : null
  if (origins.length > 0) throw notRunning(['Running with another state directory:', ...names(origins)].join('\n'))
  return null
}

function isIn({ path }: StateDir, { stateDir, master: { pid } }: Origin): boolean {
  return path === stateDir || isSamePlace(path, { pid, theirs: stateDir })
}

/** @returns false when it has ended. */
async function isFound(origin: Origin): Promise<boolean> {
  const giveUpAt = performance.now() + FOUND_AGAIN_MS
  while (isAlive(origin.master)) {
    if (isKept(origin)) return true
    if (performance.now() >= giveUpAt) throw unreachable(origin)
    await delay(LOOK_MS)
  }
  return false
}

/** Its pid file is where it should be, and names it. */
function isKept({ stateDir, master }: Origin): boolean {
  const holder = readPidFile(stateDirAt(stateDir).pidFile)
  return holder !== null && isSameProcess(holder, master)
}

function unreachable({ startFile, stateDir, master: { pid } }: Origin): ShiftworkError {
  return new ShiftworkError('ERR_NO_ANSWER', `The master of ${startFile} (pid ${pid}) runs and cannot be asked`, {
    hint: `Nothing in ${stateDir} leads to it; kill -TERM ${pid} stops it gracefully.`,
    facts: { pid, stateDir },
  })
}

function several(origins: readonly Origin[], { path }: StateDir): ShiftworkError {
  return new ShiftworkError('ERR_USAGE', `Several masters of this start file run, none of them in ${path}`, {
    hint: ['Name the one that is meant:', ...names(origins)].join('\n'),
  })
}

function names(origins: readonly Origin[]): string[] {
  return origins.map(({ stateDir, master }) => `--state-dir ${stateDir} (pid ${master.pid})`)
}
