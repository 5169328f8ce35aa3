/** What a command line hears from a master that goes on talking, and from one that falls silent in the middle. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { askForRows } from '../../../src/cli/client.ts'
import { formerMode } from '../../../src/cli/formermode.ts'
import { fetchStatus } from '../../../src/cli/look.ts'
import type { ConnectionRow } from '../../../src/ipc/connections.ts'
import { encodeLine } from '../../../src/ipc/lines.ts'
import type { ControlMessage } from '../../../src/ipc/messages.ts'
import type { GroupStatus, Status } from '../../../src/ipc/status.ts'
import { takePidFile } from '../../../src/os/pidfile.ts'
import { type StateDir, stateDirAt } from '../../../src/os/statedir.ts'
import { OWN } from './processes.ts'

/** A master that says this to whoever asks, so far apart, and nothing more. */
async function master(messages: ControlMessage[], everyMs: number): Promise<StateDir> {
  const dir = stateDirAt(mkdtempSync(join(tmpdir(), 'shiftwork-client-')))
  await takePidFile(dir.pidFile)
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume()
    const rest = [...messages]
    const timer = setInterval(() => {
      const message = rest.shift()
      if (message) socket.write(encodeLine(message))
    }, everyMs)
    socket.on('close', () => clearInterval(timer))
  })
  await new Promise<void>((resolve) => server.listen(dir.controlSocket, resolve))
  onTestFinished(() => {
    server.close()
    rmSync(dir.path, { recursive: true })
  })
  return dir
}

const rows: ControlMessage = { type: 'rows', rows: [{ id: 'a' } as ConnectionRow] }

it('hears all rows, however long they take together', async () => {
  const dir = await master([{ type: 'accepted' }, rows, rows, rows, rows, { type: 'listed', missing: [] }], 700)
  const heard: ConnectionRow[] = []
  const reply = await askForRows(dir, { command: 'connections', groups: [] }, (more) => heard.push(...more))
  expect(reply).toEqual({ type: 'listed', missing: [] })
  expect(heard).toHaveLength(4)
})

it('gives up on a master that falls silent between two rows', async () => {
  const dir = await master([{ type: 'accepted' }, rows], 10)
  const asking = askForRows(dir, { command: 'connections', groups: [] }, () => undefined)
  await expect(asking).rejects.toMatchObject({ code: 'ERR_NO_ANSWER' })
})

it('waits longer for a busy master where something is to be changed than for a look', async () => {
  const told = { daemon: true, watching: false, metrics: null, startedAt: '2026-01-01T00:00:00.000Z' }
  const status = { master: told, groups: [] as GroupStatus[] } as unknown as Status
  const dir = await master([{ type: 'status', status }], 2_000)
  await expect(fetchStatus(dir)).rejects.toMatchObject({ code: 'ERR_NO_ANSWER' })
  const mode = await formerMode(dir, OWN, { force: false })
  expect(mode).toMatchObject({ daemon: true, startedAt: Date.parse(told.startedAt) })
})
