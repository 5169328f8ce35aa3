/** Bad input on the workers' port and on the control socket: an error to that peer, and nobody else notices. */
import { spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { encodeLine } from '../../src/ipc/lines.ts'
import { WIRE_VERSION } from '../../src/ipc/requests.ts'
import { app, webStart } from '../helpers/apps.ts'
import { Client } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { Project } from '../helpers/project.ts'

const project = async (): Promise<Project> => {
  const created = Project.create({ 'start.js': webStart({ count: 2 }), 'app.js': app('1') })
  await created.start()
  return created
}

// ---- the workers' port ---------------------------------------------------------------------------------------------

/** What is answered to these bytes: its status, and what it says of the connection. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const client = await Client.open({ port })
  client.socket.write(bytes)
  const { status, headers } = await client.answer()
  client.close()
  return `${status} ${headers.get('connection')}`
}

const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\n'

it('garbage, heads too large and the shapes of request smuggling are refused, and the connection ends', async () => {
  const web = await project()
  const [port, before] = [await web.port(), await web.pids()]
  for (const [bytes, expected] of [
    ['\x00\x01garbage\r\n\r\n', '400 close'],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, '431 close'],
    [`${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, '400 close'],
    [`${HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`, '400 close'],
    [`${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n`, '400 close'],
    [`${HEAD}Content-Length: -1\r\n\r\n`, '400 close'],
  ] as const)
    expect([bytes.slice(0, 60), await answerTo(port, bytes)]).toEqual([bytes.slice(0, 60), expected])
  expect(await web.pids()).toEqual(before)
})

it('clients that vanish with a reset, end early or say nothing disturb nobody', async () => {
  const web = await project()
  const [port, before] = [await web.port(), await web.pids()]
  const load = new Load({ target: { port }, clients: 10, pauseMs: [0, 10] })
  for (let round = 0; round < 50; round++) {
    const [reset, early, quiet] = await Promise.all([1, 2, 3].map(() => Client.open({ port })))
    reset?.socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n', () => reset.socket.resetAndDestroy())
    early?.socket.end('GET / HTTP/1.1\r\nHo')
    quiet?.socket.once('end', () => undefined)
    await load.more(1)
    quiet?.close()
  }
  const { errors, failed } = await load.stop()
  expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
  expect(await web.pids()).toEqual(before)
})

const hasTool = spawnSync('slowhttptest', ['-h']).error === undefined
const MIB = 1024 * 1024

for (const [what, mode] of [
  ['heads', '-H'],
  ['bodies', '-B'],
] as const)
  it.runIf(hasTool)(`500 clients with slow ${what} cost little memory, and all others are answered`, async () => {
    const web = await project()
    const [port, before] = [await web.port(), await web.pids()]
    const load = new Load({ target: { port }, clients: 10, pauseMs: [0, 10] })
    const url = `http://127.0.0.1:${port}/`
    const args = [mode, '-c', '500', '-r', '500', '-i', '1', '-l', '4', '-p', '1', '-u', url]
    expect((await web.exec('slowhttptest', args)).code).toBe(0)
    await load.more(50)
    const { errors, failed } = await load.stop()
    expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
    expect(await web.pids()).toEqual(before)
    for (const { rssBytes } of (await web.status()).groups[0]?.processes ?? []) expect(rssBytes).toBeLessThan(200 * MIB)
  })

// ---- the control socket --------------------------------------------------------------------------------------------

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket))
    // once it is connected, whatever becomes of it is what it deserves
    socket.on('error', reject)
  })
}

/** Everything that comes back. */
async function told(path: string, bytes: string | Buffer): Promise<string> {
  const socket = await open(path)
  socket.setEncoding('utf8').write(bytes)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  await new Promise((resolve) => socket.once('close', resolve))
  return text
}

it('G7 what is no request is answered as that; silent ones, a byte at a time and unread replies keep nobody from status and reload', async () => {
  const web = await project()
  const path = join(web.stateDir, 'control.sock')
  const { master } = await web.status()
  for (const bytes of [
    `${'x'.repeat(100_000)}\n`,
    '{"command":\n',
    Buffer.from([0, 255, 254, 10]),
    '[]\n',
    `${'['.repeat(10_000)}${']'.repeat(10_000)}\n`,
    encodeLine({ version: WIRE_VERSION, command: 'constructor' }),
    encodeLine({ version: 999, command: 'status' }),
  ])
    expect(await told(path, bytes)).toMatch(/^\{"type":"error","code":"usage"[^\n]*\n$/)
  // fields that nobody knows are no harm
  expect(await told(path, encodeLine({ version: WIRE_VERSION, command: 'status', more: 1 }))).toMatch(/"type":"status"/)

  const silent = await Promise.all(Array.from({ length: 100 }, () => open(path)))
  for (const socket of silent.slice(0, 10)) socket.write('{')
  for (const socket of silent.slice(10, 20))
    socket.pause().write(encodeLine({ version: WIRE_VERSION, command: 'status' }))
  expect((await web.status()).master.pid).toBe(master.pid)
  expect((await web.reload()).code).toBe(0)
  // more than it takes: the rest is turned away, and those that wait are cut for their silence
  for (let more = 0; more < 60; more++) silent.push(await open(path))
  for (const socket of silent) socket.destroy()
  const after = (await web.status()).master
  expect(after.pid).toBe(master.pid)
  expect(after.rssBytes).toBeLessThan(200 * MIB)
})

it.runIf(process.getuid?.() === 0)(
  'G8 another user can neither connect to the control socket nor enter its directory',
  async () => {
    const web = await project()
    const path = join(web.stateDir, 'control.sock')
    const code = `
const { readdirSync } = require('node:fs')
const say = (error) => console.log(error.code)
try { readdirSync(${JSON.stringify(web.stateDir)}) } catch (error) { say(error) }
require('node:net').connect(${JSON.stringify(path)}, () => console.log('connected')).on('error', say)`
    const other = spawnSync(process.execPath, ['-e', code], { uid: 65_534, gid: 65_534, cwd: '/', encoding: 'utf8' })
    expect(other.stdout).toBe('EACCES\nEACCES\n')
  },
)
