/** What a worker without a master does before it leaves: nobody is there to end what it has started. */

import { endCarriers, endedText, Looks } from '../os/endcarriers.ts'
import { WORKER_VARIABLE } from '../variables.ts'

/** Ends every process that carries this one's own mark, but this one. @param mark as the master gave it. */
export async function sweepOwn(mark: string): Promise<void> {
  const ended = await endCarriers(mark, new Looks(WORKER_VARIABLE))
  if (ended.length > 0)
    console.error(`shiftwork: the master is gone, this worker ends what it had started: ${endedText(ended)}`)
}
