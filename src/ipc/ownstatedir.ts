/**
 * The state directory of the fleet that this process belongs to: noted where a process becomes the master or
 * a worker, read by `Worker.stateDir`. It stands on the process, so that another copy of this package
 * finds it, too.
 */

const STATE_DIR = Symbol.for('shiftwork.stateDir')

/** From now on this process is the master, or a worker, of the fleet that keeps its state there. */
export function noteStateDir(path: string): void {
  Object.assign(process, { [STATE_DIR]: path })
}

/** Null: this process is no master and no worker. */
export function ownStateDir(): string | null {
  return (process as unknown as Record<symbol, string | undefined>)[STATE_DIR] ?? null
}
