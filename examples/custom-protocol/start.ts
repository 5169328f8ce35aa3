/**
 * A protocol of one's own over TCP: what comes is cut into messages by three functions, and onMessage gets values.
 * Run it: npx tsx examples/custom-protocol/start.ts start
 * Ask it: printf '13:{"add":[1,2]},' | nc -q 1 127.0.0.1 8091
 */
import { Worker } from 'shiftwork'
import { JSON_STRINGS } from './protocol.ts'

const sums = new Worker(`tcp://127.0.0.1:${process.env.PORT ?? 8091}`, {
  name: 'sums',
  count: 2,
  protocol: JSON_STRINGS,
  maxMessageBytes: 64 * 1_024,
  heartbeat: { everyMs: 30_000, data: { ping: true } },
})
sums.onWorkerStart = async (worker) => {
  const { answer } = await import('./sums.ts')
  worker.onMessage = (connection, question) => connection.send(answer(question))
}

Worker.runAll()
