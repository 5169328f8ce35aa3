/** A control socket that answers as a test says, and remembers what it was asked. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { onTestFinished } from 'vitest'
import { encodeLine } from '../../../src/ipc/lines.ts'
import type { Reply } from '../../../src/ipc/messages.ts'
import type { ControlRequest } from '../../../src/ipc/requests.ts'
import type { ProcessId } from '../../../src/os/processes.ts'
import type { StateDir } from '../../../src/os/statedir.ts'

/** @returns the commands that it was asked so far. */
export async function fakeMaster(
  dir: StateDir,
  { pid, startTime }: ProcessId,
  answer: (command: ControlRequest['command']) => Reply,
): Promise<string[]> {
  mkdirSync(dir.path, { recursive: true })
  writeFileSync(dir.pidFile, `${pid} ${startTime}\n`)
  const asked: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      const { command } = JSON.parse(bytes.toString()) as ControlRequest
      asked.push(command)
      socket.end(encodeLine(answer(command)))
    })
  })
  await new Promise<void>((resolve) => server.listen(dir.controlSocket, resolve))
  onTestFinished(() => void server.close())
  return asked
}
