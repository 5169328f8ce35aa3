/** Bad input on the workers' port and on the control socket: an error to that peer, and nobody else notices. */
import { spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { encodeLine } from '../../src/ipc/lines.ts'
import { WIRE_VERSION } from '../../src/ipc/requests.ts'
import { MAX_CONNECTIONS } from '../../src/master/control.ts'
import { app, webStart } from '../helpers/apps.ts'
import { Client } from '../helpers/client.ts'
import { Load } from '../helpers/load.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'

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
const SECONDS = 5

/** A second of slowhttptest's own record. */
interface Second {
  at: number
  closed: number
  connected: number
  /** What its probe found: every three seconds a client beside the slow ones, with as much patience. */
  isAvailable: boolean
}

/** Lets slow clients loose for so long, or until they are called off. @returns what the tool has seen, second by second. */
async function slowly(web: Project, path: string, more: readonly string[], maxSeconds = SECONDS) {
  const url = `http://127.0.0.1:${await web.port()}${path}`
  const common = ['-r', '500', '-l', String(maxSeconds), '-p', '3', '-g', '-o', 'slow', '-u', url]
  const tool = web.launch('slowhttptest', [...more, ...common])
  const ended = tool.ended.then(({ code, stdout }) => {
    expect({ code, stdout }).toMatchObject({ code: 0 })
    const [head, ...rows] = web.read('slow.csv').trim().split('\n')
    expect(head).toBe('Seconds,Closed,Pending,Connected,Service Available')
    return rows.map((row): Second => {
      const [at = 0, closed = 0, , connected = 0, available = 0] = row.split(',').map(Number)
      return { at, closed, connected, isAvailable: available > 0 }
    })
  })
  return { ended, callOff: () => tool.kill('SIGINT') }
}

/** Its probe has three seconds for all that the tool, the worker and the machine must do. */
function isUnavailable({ seconds }: { seconds: readonly Second[] }): boolean {
  return seconds.some(({ isAvailable }) => !isAvailable)
}

const PAGE_BYTES = 4 * MIB
/** Of a page, the kernel takes what it has room for (less than half of this); the rest waits in the worker. */
const PAGED = app(
  '1',
  `const page = Buffer.alloc(${PAGE_BYTES}, 'x')
  worker.server.prependListener('request', (request, response) => request.url === '/page' && response.end(page))`,
).replace('return (request, response) => {', "$& if (request.url === '/page') return")

async function slowProject(): Promise<Project> {
  const created = Project.create({ 'start.js': webStart({ count: 2, stopTimeoutMs: 4_000 }), 'app.js': PAGED })
  await created.start()
  return created
}

for (const [what, path, args] of [
  ['500 clients with slow heads', '/', ['-H', '-c', '500', '-i', '1']],
  ['500 clients with slow bodies', '/', ['-B', '-c', '500', '-i', '1']],
  ['100 clients that read four megabytes slowly', '/page', ['-X', '-c', '100', '-n', '1', '-z', '32']],
] as const)
  it.runIf(hasTool)(
    `${what} cost little memory, and all others are answered, as slowhttptest sees it too`,
    async () => {
      const web = await slowProject()
      const [port, before] = [await web.port(), await web.pids()]
      const load = new Load({ target: { port }, clients: 10, pauseMs: [0, 10] })
      const count = Number(args[2])
      const attack = async () => ({ seconds: await (await slowly(web, path, args)).ended })
      const { seconds } = await inTime(
        attack,
        (round) => isUnavailable(round) || round.seconds.at(-1)?.connected !== count,
      )
      expect(seconds.at(-1)?.at).toBeGreaterThanOrEqual(SECONDS)
      expect(seconds.filter(({ isAvailable }) => !isAvailable)).toEqual([])
      expect(seconds.at(-1)).toMatchObject({ closed: 0, connected: count })
      await load.more(50)
      const { errors, failed } = await load.stop()
      expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
      expect(await web.pids()).toEqual(before)
      for (const { rssBytes } of (await web.status()).groups[0]?.processes ?? [])
        expect(rssBytes).toBeLessThan(200 * MIB)
    },
  )

it.runIf(hasTool)(
  '100 clients that read slowly hold up no reload: they are cut at the deadline, counted and named',
  async () => {
    const attackedReload = async () => {
      const web = await slowProject()
      const load = new Load({ target: { port: await web.port() }, clients: 10, pauseMs: [0, 10] })
      const slow = await slowly(web, '/page', ['-X', '-c', '100', '-n', '1', '-z', '32'], 120)
      let looks = 0
      // the probe comes and goes, and is none of them
      await until('all of them read', async () => {
        const counts = (await web.status()).groups[0]?.processes.map(({ connections }) => connections) ?? []
        // a worker that was asked too late to count says nothing
        if (!counts.every((count) => count !== null)) return false
        looks = counts.reduce((sum, count) => sum + count, 0) >= 110 ? looks + 1 : 0
        return looks === 5
      })
      const reloaded = await web.reload()
      slow.callOff()
      return { project: web, load: await load.stop(), seconds: await slow.ended, ...reloaded }
    }
    const wasLate = (round: Awaited<ReturnType<typeof attackedReload>>): boolean =>
      hasKilled(round) || isUnavailable(round)
    const { project: web, load, seconds, code, summary } = await inTime(attackedReload, wasLate)
    expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
    // the probe may read just then
    expect([100, 101]).toContain(summary.replaced.reduce((sum, { connectionsCut }) => sum + connectionsCut, 0))
    const named = [...web.log.matchAll(/ cut \d+ connections?: (.*)/g)].flatMap(([, names = '']) => names.split('; '))
    expect(new Set(named)).toEqual(new Set(['GET /page from 127.0.0.1']))
    expect(seconds.filter(({ isAvailable }) => !isAvailable)).toEqual([])
    const { errors, failed } = load
    expect({ errors, failed }).toEqual({ errors: [], failed: 0 })
  },
)

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
  for (const socket of silent) socket.destroy()
  const after = (await web.status()).master
  expect(after.pid).toBe(master.pid)
  expect(after.rssBytes).toBeLessThan(200 * MIB)
})

it('G7 connections above the maximum are turned away as they come, and those below it are served after', async () => {
  const web = await project()
  const path = join(web.stateDir, 'control.sock')
  const ends = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))
  let heard = ''
  const connected = async (): Promise<Socket> => {
    const socket = await open(path)
    socket.setEncoding('utf8').on('data', (text) => {
      heard += text
    })
    return socket
  }
  const held = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, connected))
  // a byte of a request is not silence
  const stirring = setInterval(() => held.map((socket) => socket.write(' ')), 1_000)
  onTestFinished(() => clearInterval(stirring))
  for (let more = 0; more < 60; more++) await ends(await connected())
  expect(heard).toBe('')
  expect(held.filter((socket) => socket.closed || socket.readableEnded)).toEqual([])
  // a command asks again for a moment, and then tells what it knows
  const refused = await web.shiftwork('reload')
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 4, stdout: '' })
  expect(refused.stderr).toMatch(/^error The master \(pid \d+\) hung up before it heard the request\n.*too many are/i)

  clearInterval(stirring)
  const asking = held.slice(0, 20)
  for (const socket of asking) socket.write(encodeLine({ version: WIRE_VERSION, command: 'status' }))
  await Promise.all(asking.map(ends))
  expect(heard.split('"type":"status"')).toHaveLength(20 + 1)
  // their places are free again
  expect(await web.status()).toMatchObject({ master: { state: 'running' } })
  // the others are cut for their silence, not for those that were turned away
  await Promise.all(held.map((socket) => socket.closed || ends(socket)))
  expect((await web.reload()).code).toBe(0)
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
