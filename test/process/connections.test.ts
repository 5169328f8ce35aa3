/** The command `connections`: every open connection, whoever holds it, and the truth about those who do not answer. */
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { askForRows } from '../../src/cli/client.ts'
import type { ConnectionList, ConnectionRow } from '../../src/ipc/connections.ts'
import { findStateDir } from '../../src/os/statedir.ts'
import { app, webStart } from '../helpers/apps.ts'
import { type JsonError, oneJson, shiftwork } from '../helpers/cli.ts'
import { Client } from '../helpers/client.ts'
import { freeze, thaw } from '../helpers/faults.ts'
import { LineClient } from '../helpers/lines.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Result } from '../helpers/project.ts'

/**
 * `chat` echoes lines; `block` blocks its worker for two minutes, as the file `blocked` says then; `hold` keeps the
 * handler of a connection busy.
 */
function chatStart(options: Record<string, unknown> = {}): string {
  return `
import { writeFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const chat = new Worker('text://127.0.0.1:0', ${JSON.stringify({ name: 'chat', count: 2, bakeMs: 0, hangTimeoutMs: 0, ...options })})
chat.onWorkerStart = (worker) => {
  worker.onMessage = async (connection, line) => {
    if (line === 'hold') {
      connection.send('holding')
      await new Promise(() => undefined)
    }
    if (line === 'block') {
      writeFileSync('blocked', 'now')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 120_000)
    }
    if (line === 'id') connection.send('id ' + connection.id + ' of ' + worker.connections.size + ' in ' + process.pid)
    else connection.send(line)
  }
}
Worker.runAll()
`
}

async function chat(options: Record<string, unknown> = {}): Promise<Project> {
  const project = Project.create({ 'start.js': chatStart(options) })
  await project.start()
  return project
}

/** The command, typed again as long as the master had no time for it, or a worker whose answer is meant to be there. */
async function typed(project: Project, words: string[], isWhole: (result: Result) => boolean): Promise<Result> {
  for (let times = 1; ; times++) {
    const result = await project.shiftwork('connections', ...words)
    const isAnswered = result.code !== 4 && (result.code !== 0 || isWhole(result))
    if (isAnswered || times === 10) return result
  }
}

/** What all workers tell but these, which cannot. */
async function listBut(project: Project, unable: readonly number[], ...words: string[]): Promise<ConnectionList> {
  const missingIn = (result: Result): number[] =>
    oneJson<ConnectionList>(result).missing.filter((pid) => !unable.includes(pid))
  const result = await typed(project, ['--json', ...words], (result) => missingIn(result).length === 0)
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' })
  expect(missingIn(result)).toEqual([])
  const listed = oneJson<ConnectionList>(result)
  expect(listed.version).toBe(1)
  return listed
}

function list(project: Project, ...words: string[]): Promise<ConnectionList> {
  return listBut(project, [], ...words)
}

/** The same for people. */
function table(project: Project): Promise<Result> {
  return typed(project, [], ({ stdout }) => !/^warning /m.test(stdout))
}

async function open(port: number): Promise<LineClient> {
  const client = await LineClient.open({ host: '127.0.0.1', port })
  onTestFinished(() => client.close())
  return client
}

/** Opened, and known to be accepted. */
async function greet(port: number): Promise<{ client: LineClient; id: string; pid: number }> {
  const client = await open(port)
  client.send('id')
  const [, id = '', , , , pid] = ((await client.line((line) => line.startsWith('id '))) ?? '').split(' ')
  return { client, id, pid: Number(pid) }
}

it('lists each connection once, with its id, its ends and what went over it, by worker and age', async () => {
  const project = await chat()
  const port = await project.port('chat')
  const greeted = []
  for (let count = 0; count < 6; count++) greeted.push(await greet(port))
  const { connections } = await list(project)
  expect(connections).toHaveLength(6)
  for (const { client, id, pid } of greeted)
    expect(connections.find((row) => row.id === id)).toMatchObject({
      group: 'chat',
      pid,
      protocol: 'text',
      state: 'open',
      remote: `127.0.0.1:${client.socket.localPort}`,
      local: `127.0.0.1:${port}`,
      bytesRead: 3,
      bufferedBytes: 0,
      bytesWritten: client.socket.bytesRead,
    })
  for (const [index, row] of connections.entries()) {
    expect(row.ageMs).toBeGreaterThanOrEqual(0)
    expect(row.idleMs).toBeLessThanOrEqual(row.ageMs)
    const before: ConnectionRow | undefined = connections[index - 1]
    if (!before) continue
    expect(before.slot).toBeLessThanOrEqual(row.slot)
    if (before.slot === row.slot) expect(before.ageMs).toBeGreaterThanOrEqual(row.ageMs)
  }
  const text = await table(project)
  expect(text.code).toBe(0)
  expect(text.stdout).toMatch(/^WORKER +PID +ID +PROTOCOL +STATE +REMOTE +LOCAL +IN +OUT +BUFFERED +AGE +IDLE$/m)
  for (const { id } of greeted) expect(text.stdout).toContain(` ${id} `)
  expect(text.stdout).toMatch(/^6 connections$/m)
  for (const { client } of greeted) client.close()
  await until('they are gone', async () => (await list(project)).connections.length === 0)
})

it('lists HTTP, kept alive and asleep, with an id that stays, and upgraded connections', async () => {
  const project = Project.create({
    'start.js': webStart({ count: 1, server: { keepAliveTimeout: 60_000 } }),
    'app.js': app(
      '1',
      `worker.server.on('upgrade', (request, socket) => socket.write('HTTP/1.1 101 Over\\r\\n\\r\\n'))`,
    ),
  })
  await project.start()
  const port = await project.port()
  const [asked, silent, upgraded] = [
    await Client.open({ port }),
    await Client.open({ port }),
    await Client.open({ port }),
  ]
  onTestFinished(() => {
    for (const client of [asked, silent, upgraded]) client.close()
  })
  await asked.request()
  await upgraded.upgrade({ headers: { Connection: 'Upgrade', Upgrade: 'other' } })
  await until('all are accepted', async () => (await list(project)).connections.length === 3)
  const { connections } = await list(project, 'web')
  const rowOf = ({ port }: Client): ConnectionRow | undefined =>
    connections.find(({ remote }) => remote === `127.0.0.1:${port}`)
  expect(rowOf(asked)).toMatchObject({ protocol: 'http', state: 'open', idleMs: null })
  expect(rowOf(silent)).toMatchObject({ protocol: 'http', state: 'open', bytesRead: 0, bytesWritten: 0 })
  expect(rowOf(silent)?.idleMs).toBe(rowOf(silent)?.ageMs)
  expect(rowOf(upgraded)).toMatchObject({ protocol: 'http', state: 'upgraded' })
  const idsOf = (rows: ConnectionRow[]): string[] => rows.map(({ id }) => id).sort()
  expect(new Set(idsOf(connections)).size).toBe(3)
  expect(idsOf((await list(project)).connections)).toEqual(idsOf(connections))
})

it('lists 2 000 connections whole, each once, while the workers answer others', async () => {
  const project = await chat()
  const port = await project.port('chat')
  const sockets = new Set<Socket>()
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  while (sockets.size < 2_000) {
    const batch = Array.from({ length: 100 }, () => {
      const socket = connect({ host: '127.0.0.1', port })
      sockets.add(socket)
      return new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    })
    await Promise.all(batch)
  }
  await until('all are accepted', async () => {
    const [group] = (await project.status()).groups
    return group?.processes.reduce((sum, row) => sum + (row.connections ?? 0), 0) === 2_000
  })
  const { connections } = await list(project)
  expect(new Set(connections.map(({ id }) => id)).size).toBe(2_000)
  const ports = new Set(connections.map(({ remote }) => remote))
  for (const socket of sockets) expect(ports).toContain(`127.0.0.1:${socket.localPort}`)
  const text = await table(project)
  expect(text.stdout.trimEnd().split('\n')).toHaveLength(2_002)
})

it('says within two seconds who does not answer, and lists the others', async () => {
  const project = await chat()
  const port = await project.port('chat')
  const blocked = await greet(port)
  const [first, second] = await project.pids('chat')
  const other = blocked.pid === first ? second : first
  let free = await greet(port)
  while (free.pid === blocked.pid) free = await greet(port)
  expect(free.pid).toBe(other)
  blocked.client.send('block')
  await until('it is blocked', () => project.written('blocked') !== '')
  const stateDir = findStateDir(project.startFile, null)
  // asked in this process: the start of a command is not what is measured
  await until('it is said within two seconds', async () => {
    const askedAt = performance.now()
    const ask = askForRows(stateDir, { command: 'connections', groups: [] }, () => undefined)
    // the master may have had no time for it
    const reply = await ask.catch(() => null)
    return reply?.type === 'listed' && reply.missing.includes(blocked.pid) && performance.now() - askedAt < 2_000
  })
  const { connections, missing } = await listBut(project, [blocked.pid])
  expect(missing).toEqual([blocked.pid])
  expect(connections.map(({ pid }) => pid)).not.toContain(blocked.pid)
  expect(connections.map(({ id }) => id)).toContain(free.id)
  const text = await typed(project, [], () => true)
  expect(text.stdout).toMatch(new RegExp(`^warning pid ${blocked.pid} does not answer`, 'm'))
  await freeze(project, free.pid)
  expect((await listBut(project, [blocked.pid, free.pid])).missing.sort()).toEqual([blocked.pid, free.pid].sort())
  await thaw(project, free.pid)
  expect((await listBut(project, [blocked.pid])).missing).toEqual([blocked.pid])
})

it('keeps up with reloads and scales: what drains is listed until it is gone', async () => {
  const project = await chat({ count: 1 })
  const port = await project.port('chat')
  const held = await greet(port)
  held.client.send('hold')
  expect(await held.client.line((line) => line === 'holding')).toBe('holding')
  const reload = project.shiftwork('reload', '-g')
  await until('the successor serves', async () => (await project.pids('chat')).some((pid) => pid !== held.pid))
  const fresh = await greet(port)
  const during = (await list(project)).connections
  expect(during.map(({ id }) => id).sort()).toEqual([held.id, fresh.id].sort())
  await until('the old one parts', async () =>
    (await list(project)).connections.some(({ id, state }) => id === held.id && state === 'parting'),
  )
  // to a reset nothing is owed, and a handler that is not done is not waited for
  held.client.socket.resetAndDestroy()
  await until('it is listed no more', async () => (await list(project)).connections.length === 1)
  expect((await project.shiftwork('scale', 'chat=3')).code).toBe(0)
  expect((await list(project)).connections.map(({ id }) => id)).toEqual([fresh.id])
  await project.shiftwork('stop', '--force', '--timeout', '0')
  await reload
})

it('takes names of groups, works with a broken start file, and exits as every command does', async () => {
  const project = Project.create({ 'start.js': chatStart() })
  const idle = await project.shiftwork('connections')
  expect({ code: idle.code, stderr: idle.stderr.split('\n')[0] }).toEqual({ code: 3, stderr: 'error Not running' })
  await project.start()
  const { id } = await greet(await project.port('chat'))
  project.write('start.js', 'this is no JavaScript')
  expect((await list(project, 'chat')).connections.map((row) => row.id)).toEqual([id])
  const unknown = await typed(project, ['chta'], () => true)
  expect(unknown.code).toBe(2)
  expect(unknown.stderr).toMatch(/There is no worker "chta"\n +Did you mean "chat"\?/)
  const { pid } = (await project.status()).master
  await freeze(project, pid)
  const frozen = await shiftwork(project, ['connections', '--json', join(project.dir, 'start.js')])
  await thaw(project, pid)
  expect(frozen.code).toBe(4)
  expect(frozen.ms).toBeLessThan(20_000)
  expect(oneJson<JsonError>(frozen).error.code).toBe('ERR_NO_ANSWER')
})
