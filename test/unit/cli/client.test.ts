/** Asking a master, played here behind a real socket: one that hangs up is asked again only if it has not heard. */
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { ask } from '../../../src/cli/client.ts'
import { encodeLine } from '../../../src/ipc/lines.ts'
import type { ControlMessage, Reply } from '../../../src/ipc/messages.ts'
import { takePidFile } from '../../../src/os/pidfile.ts'
import { type StateDir, stateDirAt } from '../../../src/os/statedir.ts'
import { temporaryDirectory } from '../tempdir.ts'

const REPLY: Reply = { type: 'error', code: 'failed', message: 'so it went', hint: null }

/** A state directory whose master is this process; each connection goes to the next of these, and to the last for ever. */
async function masterThat(
  ...turns: ((socket: Socket) => void)[]
): Promise<{ stateDir: StateDir; taken: () => number }> {
  const stateDir = stateDirAt(temporaryDirectory())
  chmodSync(stateDir.path, 0o700)
  await takePidFile(stateDir.pidFile)
  let taken = 0
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    turns[Math.min(taken++, turns.length - 1)]?.(socket)
  })
  await new Promise<void>((resolve) => server.listen(stateDir.controlSocket, resolve))
  onTestFinished(() => void server.close())
  return { stateDir, taken: () => taken }
}

const turnsAway = (socket: Socket): void => void socket.destroy()

function says(...messages: ControlMessage[]): (socket: Socket) => void {
  return (socket) => void socket.once('data', () => socket.end(messages.map(encodeLine).join('')))
}

it('a master that turns away three times and then has room has been asked once', async () => {
  const { stateDir, taken } = await masterThat(turnsAway, turnsAway, turnsAway, says({ type: 'accepted' }, REPLY))
  expect(await ask(stateDir, { command: 'status' })).toEqual(REPLY)
  expect(taken()).toBe(4)
})

it('one that turns away for ever is not called blocked: it has not heard the request', async () => {
  const { stateDir, taken } = await masterThat(turnsAway)
  await expect(ask(stateDir, { command: 'status' })).rejects.toMatchObject({
    code: 'ERR_NO_ANSWER',
    message: `The master (pid ${process.pid}) hung up before it heard the request`,
    hint: expect.stringContaining('Try again') as string,
  })
  expect(taken()).toBeGreaterThan(3)
})

it('one that hangs up when it has read the request is not asked again', async () => {
  const { stateDir, taken } = await masterThat(says({ type: 'accepted' }))
  await expect(ask(stateDir, { command: 'status' })).rejects.toMatchObject({
    code: 'ERR_NO_ANSWER',
    message: 'The master ended without a reply',
  })
  expect(taken()).toBe(1)
})
