/** A timer that must run once, however many workers there are: only the leader works. */
import type { Worker } from 'shiftwork'

export function startJobs(worker: Worker): void {
  const timer = setInterval(() => {
    if (worker.isLeader) console.log(`job done by ${process.pid}`)
  }, 5_000)
  worker.onWorkerStop = () => clearInterval(timer)
}
