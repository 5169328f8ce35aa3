/** Connections that user code has upgraded, and how a draining worker parts with them. B5. */
import { connect, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { webStart } from '../helpers/apps.ts'
import type { Target } from '../helpers/client.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'
import { WebSocketClient, webSocketApp } from '../helpers/websocket.ts'

interface Served {
  project: Project
  running: Running
  target: Target
  pid: number
}

async function serve(app: string, options: Record<string, unknown> = {}): Promise<Served> {
  const start = webStart({ count: 1, server: { keepAliveTimeout: 300 }, ...options })
  const project = Project.create({ 'start.js': start, 'app.js': app })
  const running = await project.start()
  const [pid = 0] = await project.pids()
  return { project, running, target: { port: await project.port() }, pid }
}

async function clients(target: Target, count: number, how = {}): Promise<WebSocketClient[]> {
  const all: WebSocketClient[] = []
  onTestFinished(() => {
    for (const client of all) client.close()
  })
  // in this order they are upgraded
  while (all.length < count) all.push(await WebSocketClient.open(target, how))
  return all
}

it('B5 WebSockets are told 1012 one after another, come back to new code, and the worker leaves with the last of them', async () => {
  const { project, target, pid } = await serve(webSocketApp('1'), { stopTimeoutMs: 12_000 })
  const all = await clients(target, 20)
  for (const client of all) expect(await client.ask('who?')).toBe(`1 ${pid}`)
  project.write('app.js', webSocketApp('2'))
  const askedAt = performance.now()
  const reloaded = project.reload()
  await all[0]?.until(1012)
  // the last one is served until it is told
  expect(await all.at(-1)?.ask('still there?')).toBe(`1 ${pid}`)
  const [again] = await clients(target, 1)
  expect(await again?.ask('who?')).toMatch(/^2 /)
  await Promise.all(all.map((client) => client.until('end')))
  const { code, summary } = await reloaded
  const replaced = [{ oldPid: pid, connectionsCut: 0, killed: false }]
  expect({ code, replaced: summary.replaced }).toMatchObject({ code: 0, replaced })
  for (const [place, client] of all.entries()) {
    expect(client.received.slice(-2)).toEqual([1012, 'end'])
    // 5 s, as it is less than half of the 12 s, for 20 of them, evenly: never before its turn (timers round down)
    expect(client.closeFrameAt - askedAt).toBeGreaterThan(place * 250 - 5)
  }
  expect(summary.replaced[0]?.drainMs).toBeLessThan(12_000)
})

it('B5 a WebSocket that does not answer the goodbye is cut at the deadline, counted and named', async () => {
  const reload = async () => {
    const { project, target, pid } = await serve(webSocketApp('1'), { stopTimeoutMs: 1_000 })
    const [silent] = await clients(target, 1, { answersClose: false })
    return { project, pid, silent, ...(await project.reload()) }
  }
  const { project, pid, silent, code, summary } = await inTime(reload, hasKilled)
  expect(code).toBe(0)
  expect(summary.replaced).toMatchObject([{ oldPid: pid, connectionsCut: 1, killed: false }])
  expect(summary.replaced[0]?.drainMs).toBeGreaterThanOrEqual(1_000)
  await silent?.until('end')
  expect(silent?.received).toEqual([1012, 'end'])
  expect(project.log).toMatch(/web\/0 \(pid \d+\) cut 1 connection: upgraded websocket \/chat from 127\.0\.0\.1/)
})

it('B5 what user code has closed in onWorkerStop is told nothing else', async () => {
  const closing = `worker.onWorkerStop = async () => {
    for (const socket of sockets) {
      socket.hasSaidGoodbye = true
      socket.write(Buffer.of(0x88, 2, 1001 >> 8, 1001 & 255))
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }`
  const { project, target } = await serve(webSocketApp('1', closing), { stopTimeoutMs: 8_000 })
  const all = await clients(target, 3)
  expect((await project.shiftwork('stop')).stdout).not.toContain('cut')
  await Promise.all(all.map((client) => client.until('end')))
  for (const client of all) expect(client.received).toEqual([1001, 'end'])
})

it('B5 a stop whose onWorkerStop never settles tells them all the same', async () => {
  const waiting = 'worker.onWorkerStop = () => new Promise(() => {})'
  const stop = async () => {
    // half of it is the hook's, and the first is told then
    const { project, target } = await serve(webSocketApp('1', waiting), { stopTimeoutMs: 6_000 })
    const [client] = await clients(target, 1)
    return { project, client, result: await project.shiftwork('stop') }
  }
  const { project, client, result } = await inTime(stop, hasKilled)
  expect(result.stdout).not.toContain('cut')
  await client?.until('end')
  expect(client?.received).toEqual([1012, 'end'])
  expect(project.log).toContain('left before its last work was done')
})

/** Other protocols, by upgrade and by CONNECT: an echo each. */
const TUNNELS = `
export function createApp(worker) {
  for (const event of ['upgrade', 'connect'])
    worker.server.on(event, (request, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 ' + (event === 'upgrade' ? '101 Switching Protocols' : '200 Connected') + '\\r\\n\\r\\n')
      socket.pipe(socket)
    })
  return (request, response) => response.end(JSON.stringify({ pid: process.pid, version: '1' }))
}
`

function tunnel(
  { port }: { port: number },
  head: string,
): { socket: Socket; text: () => string; ended: Promise<void> } {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => {
    socket.destroy()
  })
  let text = ''
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  socket.write(`${head}\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`)
  return { socket, text: () => text, ended }
}

it('B5 a tunnel of another protocol is left alone until the deadline, then cut, counted and named', async () => {
  const reload = async () => {
    const { project, target, pid } = await serve(TUNNELS, { stopTimeoutMs: 5_000 })
    const port = { port: 'port' in target ? target.port : 0 }
    const both = [tunnel(port, 'GET /raw HTTP/1.1'), tunnel(port, 'CONNECT far:1 HTTP/1.1')]
    await until('both are open', () => both.every(({ text }) => text().endsWith('\r\n\r\n')))
    const reloaded = project.reload()
    await until('the old one drains', () => project.log.includes('drains (reload)'))
    for (const { socket } of both) socket.write('still there?')
    await until('both echo', () => both.every(({ text }) => text().endsWith('still there?')))
    return { project, pid, both, ...(await reloaded) }
  }
  const { project, pid, both, summary } = await inTime(reload, hasKilled)
  expect(summary.replaced).toMatchObject([{ oldPid: pid, connectionsCut: 2, killed: false }])
  await Promise.all(both.map(({ ended }) => ended))
  for (const { text } of both) expect(text()).toMatch(/\r\n\r\nstill there\?$/)
  expect(project.log).toContain('upgraded echo /raw from 127.0.0.1')
  expect(project.log).toContain('CONNECT far:1 from 127.0.0.1')
  expect(isAlive(pid)).toBe(false)
})

/** Listeners as people write them: one that asks somebody first, one that takes any address for a good one. */
const CARELESS = `
export function createApp(worker) {
  worker.server.on('upgrade', async (request, socket) => {
    const { pathname } = new URL(request.url, 'wss://base')
    console.log('thinks of ' + pathname)
    await new Promise((resolve) => setTimeout(resolve, 200))
    socket.end('HTTP/1.1 101 Switching Protocols\\r\\n\\r\\nwelcome to ' + pathname)
  })
  worker.server.on('connect', (request, socket) => {
    socket.end(new URL(request.url, 'wss://base').pathname)
  })
  return (request, response) => response.end('fine')
}
`

it('C10 clients that leave while user code thinks of their upgrade, or ask for what it cannot parse, end no worker', async () => {
  const { project, running, target, pid } = await serve(CARELESS)
  const port = { port: 'port' in target ? target.port : 0 }
  for (const head of ['GET // HTTP/1.1', 'CONNECT // HTTP/1.1']) {
    const { text, ended } = tunnel(port, head)
    await ended
    expect(text()).toBe('')
  }
  const { socket, ended } = tunnel(port, 'GET /left HTTP/1.1')
  await running.line(/^thinks of \/left$/m)
  socket.resetAndDestroy()
  await ended
  const stays = tunnel(port, 'GET /stays HTTP/1.1')
  await stays.ended
  expect(stays.text()).toMatch(/welcome to \/stays$/)
  expect(await project.pids()).toEqual([pid])
  await running.line(/a listener of 'upgrade' of GET \/\/ threw: TypeError/)
  await running.line(/a listener of 'connect' of CONNECT \/\/ threw: TypeError/)
})
