/** Workers that are clients of WebSockets. */
import { createServer } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import { makeCertificate } from '../helpers/certificate.ts'
import { freePort } from '../helpers/cli.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { TestServer } from '../helpers/servers.ts'

const BOTH = `
import { readFileSync } from 'node:fs'
import { connect, Worker } from 'shiftwork'
const tls = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }
const compression = { thresholdBytes: 100 }
const PORTS = process.env.PORTS.split(' ')
const servers = {
  plain: new Worker('websocket://127.0.0.1:' + PORTS[0], { webSocket: { protocols: ['chat.v2', 'chat.v1'] } }),
  secure: new Worker('wss://127.0.0.1:' + PORTS[1], { tls, webSocket: { compression } }),
  local: new Worker('websocket+unix://' + process.cwd() + '/ws.sock'),
}
for (const [name, server] of Object.entries(servers)) {
  server.name = name
  server.onWebSocketConnect = (_connection, request) =>
    console.log(name, 'asked', request.url, request.headers.authorization, request.headers.host.replace(/\\d+/, 'N'))
  // at once, with the answer to the handshake
  server.onConnect = (connection) => { for (let index = 0; index < 100; index++) connection.send('greeting ' + index) }
  server.onMessage = (connection, message) => connection.send(message)
}
const client = new Worker({ name: 'client', after: Object.keys(servers) })
client.onWorkerStart = () => {
  const headers = { authorization: 'Bearer x' }
  // a busy machine is slow to shake hands
  const connectTimeoutMs = 60_000
  const upstreams = {
    plain: connect('ws://localhost:' + PORTS[0] + '/room/1?token=secret', { headers, connectTimeoutMs, webSocket: { protocols: ['chat.v1'] } }),
    secure: connect('wss://127.0.0.1:' + PORTS[1], { tls: { ca: tls.cert, checkServerIdentity: () => undefined }, connectTimeoutMs, webSocket: { compression } }),
    local: connect('ws+unix://' + process.cwd() + '/ws.sock', { connectTimeoutMs }),
  }
  for (const [name, upstream] of Object.entries(upstreams)) {
    let greetings = 0
    const long = 'x'.repeat(3_000_000)
    const sent = ['text', Buffer.from([0, 255]), '', long, 'é'.repeat(50_000)]
    const left = [...sent]
    upstream.onConnect = (connection) => {
      console.log(name, 'connected', upstream.address.replace(process.cwd(), '').replace(/\\d{2,}/, 'N'), connection.subprotocol, connection === upstream.connection)
      connection.send(sent[0])
    }
    upstream.onMessage = (connection, message) => {
      if (message === 'greeting ' + greetings) return void greetings++
      const expected = left.shift()
      if (Buffer.isBuffer(expected) ? !expected.equals(message) : message !== expected) console.log(name, 'WRONG', String(message).slice(0, 50))
      if (left.length > 0) return void connection.send(left[0])
      console.log(name, 'has it all', greetings)
      upstream.close('bye')
    }
    upstream.onClose = (connection) => console.log(name, 'closed', connection.closeCode, upstream.state)
    upstream.onError = (_connection, error) => console.log(name, 'ERROR', error)
  }
}
Worker.runAll()
`

it('a worker is a client of ws, wss and unix sockets, with paths, headers, subprotocols and compression', async () => {
  const project = Project.create({ 'start.js': BOTH })
  makeCertificate(project)
  const ports = await Promise.all([freePort(), freePort()])
  const running = await project.start('js', [], { PORTS: ports.join(' ') })
  for (const line of [
    'plain asked /room/1?token=secret Bearer x localhost:N',
    `secure asked / undefined N.0.0.1:${ports[1]}`,
    'local asked / undefined localhost',
    'plain connected websocket://localhost:N/room/1 chat.v1 true',
    `secure connected wss://N.0.0.1:${ports[1]} null true`,
    'local connected websocket+unix:///ws.sock null true',
    'plain has it all 100',
    'secure has it all 100',
    'local has it all 100',
    'plain closed 1000 closed',
    'secure closed 1000 closed',
    'local closed 1000 closed',
  ])
    await until(line, () => running.stdout.includes(`${line}\n`)).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${running.stdout}`)
    })
  expect(running.stdout).not.toMatch(/WRONG|ERROR/)
})

it('a server that accepts and resets at once is tried again, from the first time on', async () => {
  const rude = await TestServer.listen({ onConnection: (socket) => socket.resetAndDestroy() })
  const project = Project.create({
    'start.js': `
import { connect, Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = () => {
  const upstream = connect('ws://127.0.0.1:${rude.port}/', { reconnect: { minDelayMs: 10, maxDelayMs: 20 } })
  upstream.onError = (_connection, error) => console.log('failed', error.code)
}
Worker.runAll()`,
  })
  const running = await project.start()
  await until('it has failed five times', () => (running.stdout.match(/^failed ERR_CONNECT$/gm)?.length ?? 0) >= 5)
})

it('a server that refuses, does not answer, or is none is told in a sentence, within the time', async () => {
  const http = createServer((_request, response) => response.writeHead(403).end()).listen(0, '127.0.0.1')
  onTestFinished(() => void http.close())
  await new Promise((resolve) => http.once('listening', resolve))
  const { port } = http.address() as { port: number }
  const silent = await TestServer.listen()
  const babbling = await TestServer.listen({
    onConnection: (socket) => {
      // each byte would be a sign of life
      const timer = setInterval(() => socket.write('H'), 20)
      socket.resume().once('close', () => clearInterval(timer))
    },
  })
  const rude = await TestServer.listen({ onConnection: (socket) => socket.once('data', () => socket.destroy()) })
  const project = Project.create({
    'start.js': `
import { connect, Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = () => {
  const failing = (name, port, connectTimeoutMs = 30_000) => {
    const upstream = connect('ws://127.0.0.1:' + port + '/x?secret', { reconnect: false, connectTimeoutMs })
    upstream.onError = (connection, error) => console.log(name, connection, error.code, error.message)
  }
  failing('refused', ${port})
  failing('silent', ${silent.port}, 300)
  failing('babbling', ${babbling.port}, 300)
  failing('rude', ${rude.port})
}
Worker.runAll()`,
  })
  const running = await project.start()
  const sentence = (name: string, what: string): RegExp =>
    new RegExp(`^${name} null ERR_CONNECT Cannot connect to websocket://127\\.0\\.0\\.1:\\d+/x: ${what}`, 'm')
  await running.line(sentence('refused', 'it answers the handshake with 403$'))
  await running.line(sentence('silent', 'its WebSocket handshake was not done within 300 ms$'))
  await running.line(sentence('babbling', '(its WebSocket handshake was not done within 300 ms|Parse Error.*)$'))
  await running.line(sentence('rude', 'it hung up$'))
  await until('no socket is left', () => silent.open + babbling.open + rude.open === 0)
  expect(running.stdout).not.toContain('secret')
})

it('a draining worker says 1001 to its WebSocket server; one that is lost is connected again', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => void server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const codes: number[] = []
  server.on('connection', (socket) => socket.on('close', (code) => codes.push(code)))
  const { port } = server.address() as { port: number }
  const project = Project.create({
    'start.js': `
import { connect, Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = () => {
  const upstream = connect('ws://127.0.0.1:${port}', { reconnect: { minDelayMs: 1, maxDelayMs: 1 } })
  upstream.onConnect = () => console.log('connected')
  upstream.onClose = (connection) => console.log('closed', connection.closeCode, upstream.state)
}
Worker.runAll()`,
  })
  const running = await project.start()
  await running.line(/^connected$/m)
  for (const socket of server.clients) socket.close(1012)
  await running.line(/^closed 1012 waiting$/m)
  await running.line(/(^connected$[\s\S]*){2}/m)
  for (const socket of server.clients) socket.terminate()
  await running.line(/^closed 1006 waiting$/m)
  await running.line(/(^connected$[\s\S]*){3}/m)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(project.log).toMatch(/left with code 0 after (\d+ ms|\d\.\d s) of drain/)
  await until('it is told', () => codes.length === 3)
  expect(codes.at(-1)).toBe(1001)
})
