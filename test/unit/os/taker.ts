/** A process that takes each pid file it is told of, and says who holds it then. For the test of the pid file. */
import { type Holder, takePidFile } from '../../../src/os/pidfile.ts'

process.on('message', (path) => {
  void takePidFile(String(path)).then((holder) => process.send?.({ takenBy: takerOf(holder) }))
})
process.send?.('ready')

function takerOf(holder: Holder | null): number | string {
  if (holder === null) return process.pid
  return holder === 'unseen' ? holder : holder.pid
}
