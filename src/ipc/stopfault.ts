/**
 * What a worker did not bring to its end in `onWorkerStop`, in words: the command line and the log say the same.
 * Pure.
 */
import { firstLine, plural } from '../words.ts'
import type { StopFault } from './status.ts'

/** A hook of ours may stand in the place of the user's: what a gateway or its business has begun ends in it. */
const UNFINISHED = 'left before its last work was done (onWorkerStop, or what a Gateway or BusinessWorker had begun)'

/** `web/0 (pid 7) left before …`: one worker's. */
export function stopFaultText({ worker, pid, error }: StopFault): string {
  const who = `${worker} (pid ${pid})`
  return error === null ? `${who} ${UNFINISHED}` : `${who} threw in its onWorkerStop: ${firstLine(error)}`
}

/** At most a line for each kind: the first of it, and how many more there are. */
export function stopFaultTexts(faults: readonly StopFault[]): string[] {
  const kinds = [faults.filter(({ error }) => error === null), faults.filter(({ error }) => error !== null)]
  return kinds.flatMap(([first, ...more]) => {
    if (!first) return []
    const others = more.length === 0 ? '' : `; ${plural(more.length, 'more worker')} did so, see the log`
    return [stopFaultText(first) + others]
  })
}
