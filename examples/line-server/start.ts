/**
 * A server for telnet and nc: a line is a question, a line is an answer.
 * Run it: npx tsx examples/line-server/start.ts start
 * Talk to it: nc 127.0.0.1 8090 (or telnet), then change commands.ts and: … reload
 */
import { Worker } from 'shiftwork'

const lines = new Worker(`text://127.0.0.1:${process.env.PORT ?? 8090}`, { name: 'lines', count: 2 })
// somebody who has typed nothing for five minutes has gone home
lines.idleTimeoutMs = 5 * 60_000
lines.maxMessageBytes = 1_024
lines.onWorkerStart = async (worker) => {
  const { answer } = await import('./commands.ts')
  worker.onConnect = (connection) => connection.send('hello, say help')
  worker.onMessage = answer
}

Worker.runAll()
