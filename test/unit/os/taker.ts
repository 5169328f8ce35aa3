/** A process that takes each pid file it is told of, and says who holds it then. For the test of the pid file. */
import { takePidFile } from '../../../src/os/pidfile.ts'

process.on('message', (path) => {
  void takePidFile(String(path)).then((holder) => process.send?.({ takenBy: holder?.pid ?? process.pid }))
})
process.send?.('ready')
