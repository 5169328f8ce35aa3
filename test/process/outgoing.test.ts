/** Workers that are clients: `connect`, what becomes of a connection that fails or is lost, and the drain. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { freePort } from '../helpers/cli.ts'
import { Client } from '../helpers/client.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { inTime } from '../helpers/rounds.ts'
import { onLine, TestServer } from '../helpers/servers.ts'

/** A group without a listener whose one process runs this code; what it prints is seen by the test. */
function jobs(code: string, options = '{}'): Project {
  const start = `
import { Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs', bakeMs: 0, ...${options} })
jobs.onWorkerStart = async (worker) => (await import('./jobs.js')).run(worker)
Worker.runAll()
`
  return Project.create({ 'start.js': start, 'jobs.js': `import { connect } from 'shiftwork'\n${code}` })
}

/** Prints what happens to an upstream. */
const TELL = `
const tell = (name, upstream) => {
  upstream.onConnect = () => console.log(name, 'connected', upstream.state)
  upstream.onMessage = (connection, message) => console.log(name, 'got', String(message))
  upstream.onClose = () => console.log(name, 'closed', upstream.state, upstream.connection)
  upstream.onError = (connection, error) => console.log(name, 'error', connection !== null, error.code, error.message, '|', error.hint)
  return upstream
}
`

function certificate(project: Project): void {
  const key = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['-keyout', join(project.dir, 'key.pem'), '-out', join(project.dir, 'cert.pem')]
  const names = ['-addext', 'subjectAltName=DNS:localhost']
  execFileSync('openssl', ['req', ...key.split(' '), ...files, ...names], { stdio: 'pipe' })
}

const PROTOCOLS = `
import { readFileSync } from 'node:fs'
import { Worker } from 'shiftwork'
const tls = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }
const protocol = {
  input: (buffer) => buffer.indexOf(';') + 1,
  decode: (bytes) => JSON.parse(bytes.subarray(0, -1)),
  encode: (value) => JSON.stringify(value) + ';',
}
const PORTS = process.env.PORTS.split(' ')
const echoes = {
  tcp: new Worker('tcp://127.0.0.1:' + PORTS[0]),
  text: new Worker('text://127.0.0.1:' + PORTS[1]),
  frame: new Worker('frame+unix://' + process.cwd() + '/frame.sock'),
  tls: new Worker('tls://localhost:' + PORTS[2], { tls }),
  texttls: new Worker('text+tls://127.0.0.1:' + PORTS[3], { tls }),
  own: new Worker('tcp://127.0.0.1:' + PORTS[4], { protocol }),
}
for (const [name, echo] of Object.entries(echoes)) {
  echo.name = name
  echo.onMessage = (connection, message) => connection.send(message)
}
const client = new Worker({ name: 'client', after: Object.keys(echoes) })
client.onWorkerStart = async () => {
  const { connect } = await import('shiftwork')
  const ca = readFileSync('cert.pem')
  const upstreams = {
    tcp: [connect('tcp://127.0.0.1:' + PORTS[0]), 'bytes'],
    text: [connect('text://localhost:' + PORTS[1]), 'a line'],
    frame: [connect('frame+unix://' + process.cwd() + '/frame.sock'), 'a frame'],
    tls: [connect('tls://localhost:' + PORTS[2], { tls: { ca } }), 'secret bytes'],
    texttls: [connect('text+tls://127.0.0.1:' + PORTS[3], { tls: { ca, servername: 'localhost' } }), 'a secret line'],
    own: [connect('tcp://127.0.0.1:' + PORTS[4], { protocol }), { a: [1, 2] }],
  }
  for (const [name, [upstream, message]] of Object.entries(upstreams)) {
    upstream.onConnect = (connection) => connection.send(message)
    upstream.onMessage = (connection, answer) => {
      console.log(name, 'answered', Buffer.isBuffer(answer) ? String(answer) : JSON.stringify(answer))
      console.log(name, 'is', connection.protocol, connection.state, connection === upstream.connection, upstream.address)
      upstream.close()
    }
    upstream.onClose = () => console.log(name, 'closed', upstream.state)
  }
}
Worker.runAll()
`

it('a worker is a client of every protocol, over TCP, TLS and unix sockets, with the same messages as its server', async () => {
  const project = Project.create({ 'start.js': PROTOCOLS })
  certificate(project)
  const ports = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()))
  const running = await project.start('js', [], { PORTS: ports.join(' ') })
  await until('all have closed', () => running.stdout.match(/closed closed$/gm)?.length === 6)
  for (const line of [
    'tcp answered bytes',
    'text answered "a line"',
    'frame answered a frame',
    'tls answered secret bytes',
    'texttls answered "a secret line"',
    'own answered {"a":[1,2]}',
    `text is text open true text://localhost:${ports[1]}`,
    `texttls is text+tls open true text+tls://127.0.0.1:${ports[3]}`,
  ])
    await running.says(`${line}\n`)
})

it('a server that is restarted is connected again, and a message meanwhile is refused and not kept', async () => {
  const lines: string[] = []
  const onConnection = (socket: Parameters<typeof onLine>[0]) => onLine(socket, (line) => lines.push(line))
  // nobody else gets it while it is free
  const port = await freePort()
  const server = await TestServer.listen({ port, onConnection })
  const project = jobs(`${TELL}
export const run = () => {
  const upstream = tell('it', connect('text://127.0.0.1:${port}', { reconnect: { minDelayMs: 20, maxDelayMs: 40 } }))
  const { onConnect, onClose } = upstream
  upstream.onConnect = (connection) => { onConnect(); connection.send('hello') }
  upstream.onClose = () => { onClose(); console.log('it sent', upstream.send('lost'), upstream.state) }
}`)
  const running = await project.start()
  await until('hello', () => lines.length === 1)
  await server.end()
  await running.line(/^it closed waiting null$/m)
  await running.line(/^it error false ERR_CONNECTION_CLOSED Not connected to text:.*: a message is dropped \|/m)
  await running.line(/^it sent false waiting$/m)
  await running.line(
    /^it error false ERR_CONNECT Cannot connect to text:\/\/127\.0\.0\.1:\d+: connection refused \| Nothing/m,
  )
  await TestServer.listen({ port, onConnection })
  await until('hello again', () => lines.length === 2)
  expect(lines).toEqual(['hello', 'hello'])
  await running.line(/^it connected connected$[\s\S]*^it connected connected$/m)
  expect(running.stdout.match(/^it connected connected$/gm)).toHaveLength(2)
})

it('each try that fails, or is hung up on, is waited for longer, up to the longest', async () => {
  const rude = await TestServer.listen({ onConnection: (socket) => socket.destroy() })
  const nobody = await freePort()
  const project = jobs(`
export const run = () => {
  const reconnect = { minDelayMs: 40, maxDelayMs: 320 }
  let waitMs = 0
  const { setTimeout: wait } = globalThis
  globalThis.setTimeout = (callback, ms, ...more) => {
    waitMs = ms
    return wait(callback, ms, ...more)
  }
  const refused = connect('tcp://127.0.0.1:${nobody}', { reconnect })
  // it waits already when it tells
  refused.onError = () => console.log('refused', waitMs)
  const rude = connect('tcp://127.0.0.1:${rude.port}', { reconnect })
  rude.onClose = ({ openedAt }) => console.log('lived', performance.now() - openedAt)
}`)
  const running = await project.start()
  await running.line(/(^refused \S+\n[\s\S]*){7}/m)
  await running.line(/(^lived \S+\n[\s\S]*){6}/m)
  await until('seven were hung up on', () => rude.acceptedAt.length >= 7)
  const told = (word: string): number[] =>
    [...running.stdout.matchAll(new RegExp(`^${word} (\\S+)\n`, 'gm'))].map((match) => Number(match[1]))
  const longest = (failures: number): number => Math.min(320, 40 * 2 ** (failures - 1))
  // half of each wait is left to chance
  for (const [index, waitMs] of told('refused').entries()) {
    expect(waitMs).toBeGreaterThanOrEqual(longest(index + 1) / 2)
    expect(waitMs).toBeLessThanOrEqual(longest(index + 1))
  }
  let failures = 0
  for (const [index, ms] of told('lived').slice(0, 6).entries()) {
    // one that has lived for longer than the next wait was a good one
    failures = ms > longest(failures + 1) ? 1 : failures + 1
    const waitedMs = (rude.acceptedAt[index + 1] ?? 0) - (rude.acceptedAt[index] ?? 0)
    // Node.js may fire a timer a millisecond early
    expect(waitedMs).toBeGreaterThanOrEqual(longest(failures) / 2 - 2)
  }
})

it('what goes wrong is one sentence with the address and what has not happened', async () => {
  // accepts, and never says a word of TLS
  const silent = await TestServer.listen()
  const rude = await TestServer.listen({ onConnection: (socket) => socket.destroy() })
  const nobody = await freePort()
  const project = jobs(`${TELL}
const once = { reconnect: false, connectTimeoutMs: 300 }
export const run = async () => {
  const failing = (name, address, more) => tell(name, connect(address, { ...once, ...more }))
  failing('refused', 'tcp://127.0.0.1:${nobody}')
  failing('silent', 'text+tls://127.0.0.1:${silent.port}')
  failing('rude', 'tls://localhost:${rude.port}', { connectTimeoutMs: 30_000 })
  failing('unknown', 'frame://no-such-host.invalid:80', { connectTimeoutMs: 30_000 })
  failing('missing', 'text+unix:///nowhere/at/all.sock')
  const late = failing('late', 'text+tls://127.0.0.1:${silent.port}')
  await late.whenConnected().catch((error) => console.log('late', error.code, late.state))
  await late.whenConnected().catch((error) => console.log('late again', error.code))
  connect('text://127.0.0.1:${nobody}', once)
}`)
  const running = await project.start()
  for (const pattern of [
    /^refused error false ERR_CONNECT Cannot connect to tcp:\/\/127\.0\.0\.1:\d+: connection refused \| Nothing listens there/m,
    /^silent error false ERR_CONNECT Cannot connect to text\+tls:\/\/127.0.0.1:\d+: its TLS handshake was not done within 300 ms \| Look/m,
    /^rude error false ERR_CONNECT Cannot connect to tls:\/\/localhost:\d+: it hung up \| Look/m,
    /^unknown error false ERR_CONNECT Cannot connect to frame:\/\/no-such-host\.invalid:80: the host name (is not known|cannot be looked up now) \| /m,
    /^missing error false ERR_CONNECT Cannot connect to text\+unix:\/\/\/nowhere\/at\/all\.sock: there is no such socket \| Look/m,
    /^late ERR_CONNECT closed$/m,
    /^late again ERR_CONNECT$/m,
    // nobody listens to onError
    /^shiftwork: \S+\/0 \(pid \d+\): Cannot connect to text:\/\/127\.0\.0\.1:\d+: connection refused$/m,
  ])
    await running.line(pattern)
  expect(running.stdout).not.toMatch(/connected|closed (waiting|connecting)/)
  await until('both have come', () => silent.sockets.length >= 2)
  expect(silent.sockets).toHaveLength(2)
  await until('no socket is left', () => silent.open === 0)
})

it('a connection that breaks is told with its address, and what a hook throws ends the connection alone', async () => {
  const server = await TestServer.listen({ onConnection: (socket) => socket.write('boom\n') })
  const project = jobs(`${TELL}
export const run = () => {
  const upstream = tell('it', connect('text://127.0.0.1:${server.port}', { reconnect: { minDelayMs: 10, maxDelayMs: 20 } }))
  let count = 0
  upstream.onMessage = () => {
    if (++count === 1) throw new Error('thrown')
    console.log('second message')
  }
}`)
  const running = await project.start()
  await running.line(/^it error true undefined thrown \| undefined$/m)
  await running.line(/^second message$/m)
  server.sockets[1]?.resetAndDestroy()
  await running.line(
    /^it error true ERR_CONNECTION_CLOSED The connection to text:\/\/127\.0\.0\.1:\d+ broke: read ECONNRESET/m,
  )
  await running.line(/(^it connected connected$[\s\S]*){3}/m)
})

it('a server that gives no sign of life any more is left, and tried again', async () => {
  const asked: string[] = []
  const server = await TestServer.listen({ onConnection: (socket) => onLine(socket, (line) => asked.push(line)) })
  const project = jobs(`${TELL}
export const run = () => {
  const heartbeat = { everyMs: 50, maxMissed: 2, data: 'are you there' }
  tell('it', connect('text://127.0.0.1:${server.port}', { heartbeat, reconnect: { minDelayMs: 1, maxDelayMs: 1 } }))
}`)
  const running = await project.start()
  await running.line(/^it error true ERR_TIMEOUT Nothing has come for \d+ ms, and no answer to 2 pings/m)
  await running.line(/(^it connected connected$[\s\S]*){2}/m)
  await until('it was asked twice', () => asked.length >= 2)
  expect(asked.slice(0, 2)).toEqual(['are you there', 'are you there'])
})

it('close ends a connection, one that is not there yet, and every wait; nothing is tried again', async () => {
  const server = await TestServer.listen()
  const nobody = await freePort()
  const project = jobs(`${TELL}
export const run = async () => {
  const never = () => console.log('NEVER')
  const open = connect('text://127.0.0.1:${server.port}', { reconnect: { minDelayMs: 1, maxDelayMs: 1 } })
  await open.whenConnected()
  const connecting = connect('text://127.0.0.1:${server.port}')
  const waiting = connect('text://127.0.0.1:${nobody}')
  waiting.onConnect = never
  await new Promise((resolve) => { waiting.onError = resolve })
  const promises = [connecting.whenConnected(), waiting.whenConnected()]
  const second = connect('text://127.0.0.1:${server.port}')
  second.onConnect = never
  second.close()
  promises.push(second.whenConnected())
  waiting.close()
  ;(await promises.shift()).close('last words')
  connecting.destroy()
  console.log((await Promise.allSettled(promises)).map((it) => it.status + ' ' + it.reason?.message).join('; '))
  open.close('bye')
  open.onClose = () => console.log('open closed', open.state, open.connection)
}`)
  const running = await project.start()
  await running.line(
    /^rejected Cannot connect to text:\S+: it was closed; rejected Cannot connect to text:\S+: it was closed$/m,
  )
  await running.line(/^open closed closed null$/m)
  await until('every socket is closed', () => server.open === 0)
  expect(running.stdout).not.toContain('NEVER')
})

for (const [what, code, sentence] of [
  [
    'an address to listen on',
    `connect('text://127.0.0.1:0')`,
    /Cannot connect to "text:\/\/127\.0\.0\.1:0": nobody listens on port 0/,
  ],
  [
    'an unknown scheme',
    `connect('txt://127.0.0.1:80')`,
    /Cannot connect to "txt:\/\/127\.0\.0\.1:80": "txt" is no known protocol[\s\S]+Did you mean text:\/\/\?/,
  ],
  [
    'HTTP',
    `connect('http://127.0.0.1:80')`,
    /Cannot connect to "http:\/\/127\.0\.0\.1:80": connect does not speak http[\s\S]+Use fetch/,
  ],
  ['no text', `connect(8080)`, /Cannot connect to 8080[\s\S]+Give the address as text/],
  [
    'an unknown option',
    `connect('tcp://127.0.0.1:80', { conectTimeoutMs: 1 })`,
    /connect\("tcp:\/\/127\.0\.0\.1:80"\) has an unknown option "conectTimeoutMs"[\s\S]+Did you mean "connectTimeoutMs"/,
  ],
  [
    'a wrong delay',
    `connect('tcp://127.0.0.1:80', { reconnect: { minDelayMs: 0 } })`,
    /reconnect: minDelayMs is 0[\s\S]+It must be a whole number from 1/,
  ],
  [
    'a longest delay below the shortest',
    `connect('tcp://127.0.0.1:80', { reconnect: { minDelayMs: 50, maxDelayMs: 5 } })`,
    /reconnect: maxDelayMs is 5[\s\S]+It must be a whole number from 50/,
  ],
  [
    'tls for what has none',
    `connect('tcp://127.0.0.1:80', { tls: {} })`,
    /tls is an object[\s\S]+Change the address to one inside TLS/,
  ],
  [
    'half a protocol',
    `connect('tcp://127.0.0.1:80', { protocol: {} })`,
    /connect\("tcp:\/\/127\.0\.0\.1:80"\): protocol is an object without input/,
  ],
  [
    'a header with a line break',
    `connect('ws://127.0.0.1:80', { headers: { Authorization: 'Bearer t\\n' } })`,
    /the header "Authorization" cannot be sent[\s\S]+trim what was read from a file/,
  ],
  ['a fragment', `connect('ws://127.0.0.1:80/a#b')`, /has a fragment, which no server is told[\s\S]+Leave out #/],
  [
    'a subprotocol twice',
    `connect('ws://127.0.0.1:80', { webSocket: { protocols: ['x', 'x'] } })`,
    /webSocket\.protocols has "x" twice/,
  ],
  ['a heartbeat without data', `connect('tcp://127.0.0.1:80', { heartbeat: { everyMs: 5 } })`, /heartbeat has no data/],
] as const)
  it(`refused at once: ${what}`, async () => {
    const project = jobs(`export const run = () => ${code}`)
    const result = await project.shiftwork('start', '-d')
    expect(result.code).toBe(1)
    expect(result.stderr).toMatch(sentence)
  })

it('outside a worker connect is refused with a sentence', async () => {
  const project = Project.create({
    'start.js': `import { connect, Worker } from 'shiftwork'\nnew Worker({ name: 'jobs' })\nconnect('tcp://127.0.0.1:1')\nWorker.runAll()`,
  })
  const result = await project.through('js', 'start')
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/connect works in a worker only/)
  expect(result.stderr).toMatch(/Call it inside onWorkerStart/)
})

// ---- the drain -----------------------------------------------------------------------------------------------------

/** A text server whose workers ask another one, over one connection each, before they answer. */
const ASKING = `
import { Worker } from 'shiftwork'
const web = new Worker('text://127.0.0.1:0', { name: 'web', bakeMs: 0 })
web.onWorkerStart = async (worker) => {
  const { connect } = await import('shiftwork')
  const upstream = connect('text://127.0.0.1:' + process.env.UPSTREAM)
  const answers = []
  upstream.onMessage = (_connection, line) => answers.shift()(line)
  worker.onMessage = async (connection, line) => {
    connection.send(await new Promise((resolve) => { answers.push(resolve); upstream.send(line) }))
  }
  worker.onWorkerStop = () => console.log('stopping', upstream.state)
  await upstream.whenConnected()
}
Worker.runAll()
`

it('a draining worker keeps its upstream until the last request is answered, then closes it and leaves', async () => {
  const asked: (() => void)[] = []
  const server = await TestServer.listen({
    onConnection: (socket) => onLine(socket, (line) => asked.push(() => socket.write(`${line} answered\n`))),
  })
  const project = Project.create({ 'start.js': ASKING })
  const running = await project.start('js', [], { UPSTREAM: String(server.port) })
  const [old = 0] = await project.pids()
  const client = await Client.open({ port: await project.port() })
  const connections = async () => (await project.status()).groups[0]?.processes[0]?.connections
  await until('the client is counted, and the upstream is not', async () => (await connections()) === 1)
  const answer: string[] = []
  onLine(client.socket, (line) => answer.push(line))
  client.socket.write('question\n')
  await until('it is asked', () => asked.length === 1)
  const reload = project.reload()
  await running.line(/^stopping connected$/m)
  await until('the successor has its own upstream', () => server.sockets.length === 2)
  expect({ isAlive: isAlive(old), isOpen: !server.sockets[0]?.destroyed }).toEqual({ isAlive: true, isOpen: true })
  asked[0]?.()
  await until('it is answered', () => answer.length === 1)
  expect(answer).toEqual(['question answered'])
  const { code, summary } = await reload
  expect({ code, cut: summary.replaced[0]?.connectionsCut }).toEqual({ code: 0, cut: 0 })
  expect(summary.replaced[0]?.drainMs).toBeLessThan(15_000)
  await until('its upstream is closed', () => server.sockets[0]?.destroyed === true)
  expect(server.open).toBe(1)
  await until('nobody is counted', async () => (await connections()) === 0)
})

it('an upstream that is lost in the drain, or is waited for when it begins, is not tried again', async () => {
  const server = await TestServer.listen()
  const nobody = await freePort()
  const project = jobs(`${TELL}
export const run = async (worker) => {
  const reconnect = { minDelayMs: 1, maxDelayMs: 1 }
  const upstream = tell('it', connect('text://127.0.0.1:${server.port}', { reconnect }))
  const waiting = connect('text://127.0.0.1:${nobody}', { reconnect: { minDelayMs: 60_000, maxDelayMs: 60_000 } })
  waiting.onError = () => waiting.whenConnected().catch((error) => console.log('waiting', error.message, waiting.state))
  worker.onWorkerStop = async () => {
    console.log('stopping')
    await new Promise((resolve) => { upstream.onClose = resolve })
    console.log('lost in the drain', upstream.state)
    const late = connect('text://127.0.0.1:${server.port}', { reconnect })
    await late.whenConnected()
    console.log('one of the last requests may still open one')
  }
  await upstream.whenConnected()
}`)
  const running = await project.start()
  const stop = project.shiftwork('stop')
  await running.line(/^stopping$/m)
  await running.line(/^waiting Cannot connect to text:\S+: it was closed closed$/m)
  server.sockets[0]?.destroy()
  await running.line(/^lost in the drain closed$/m)
  await running.line(/^one of the last/m)
  expect((await stop).code).toBe(0)
  expect(server.sockets).toHaveLength(2)
})

it('a server that does not let go of its connection does not hold a worker', async () => {
  // hears the end, and never ends by itself
  const server = await TestServer.listen({ allowHalfOpen: true, onConnection: (socket) => socket.resume() })
  const project = jobs(`export const run = () => connect('text://127.0.0.1:${server.port}').whenConnected()`)
  await project.start()
  const stopped = await project.shiftwork('stop')
  expect(stopped.code).toBe(0)
  expect(stopped.ms).toBeLessThan(20_000)
})

it('what an upstream has begun is finished, and cut at the deadline', async () => {
  const server = await TestServer.listen({ onConnection: (socket) => socket.write('job\n') })
  const project = jobs(
    `
export const run = async () => {
  const upstream = connect('text://127.0.0.1:${server.port}')
  upstream.onMessage = (_connection, line) => {
    console.log('got', line)
    return new Promise((resolve) => setTimeout(() => { console.log('done', line); resolve() }, Number(process.env.JOB_MS)))
  }
}`,
    '{ stopTimeoutMs: 1_500 }',
  )
  const patient = await project.start('js', [], { JOB_MS: '700' })
  await patient.line(/^got job$/m)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(patient.stdout).toContain('done job')
  const cut = async () => {
    const endless = await project.start('js', [], { JOB_MS: '600000' })
    await endless.line(/^got job$/m)
    return project.shiftwork('stop')
  }
  const stopped = await inTime(cut, ({ stdout }) => /killed/.test(stdout))
  expect(stopped.code).toBe(0)
  expect(stopped.ms).toBeGreaterThanOrEqual(1_490)
  expect(stopped.stdout).not.toMatch(/killed/)
})

// ---- a proxy -------------------------------------------------------------------------------------------------------

const PROXY = `
import { Worker } from 'shiftwork'
const proxy = new Worker('tcp://127.0.0.1:0', { name: 'proxy', bakeMs: 0, stopTimeoutMs: 120_000 })
let pair = null
// what was read from one end and not taken by the kernel for the other
const kept = (from, to) => from.bytesRead - to.bytesWritten + to.bufferedBytes
proxy.onStatus = () => pair && { keptBytes: kept(...pair) + kept(...pair.toReversed()) }
proxy.onWorkerStart = async (worker) => {
  const { connect } = await import('shiftwork')
  worker.onConnect = async (client) => {
    const upstream = connect('tcp://127.0.0.1:' + process.env.UPSTREAM, { reconnect: false })
    const server = await upstream.whenConnected()
    pair = [client, server]
    client.pipe(server).pipe(client)
  }
}
Worker.runAll()
`

const CHUNK = randomBytes(1024 * 1024)
const CHUNKS = 100
/** Of either direction a send buffer (1 MB) and what is read ahead; all of it but what kernels hold would be some 80 MB. */
const MUCH_BYTES = 8 * 1024 * 1024

/** Sends it all as fast as it is taken, and then its end. */
async function sendAll(socket: Socket): Promise<void> {
  for (let index = 0; index < CHUNKS; index++)
    if (!socket.write(CHUNK)) await new Promise((resolve) => socket.once('drain', resolve))
  socket.end()
}

/** Resolves when the kernel takes nothing more of what is sent. */
async function stalled(socket: Socket): Promise<void> {
  const taken = (): number => socket.bytesWritten - socket.writableLength
  let before = -1
  let looks = 0
  await until('nothing more is taken', () => {
    looks = taken() === before ? looks + 1 : 0
    before = taken()
    return looks > 100
  })
}

it('a proxy hands 100 MB on to a client that reads when it likes, keeps little of it, and goes on through a reload', async () => {
  const echo = await TestServer.listen({ allowHalfOpen: true, onConnection: (socket) => void socket.pipe(socket) })
  const project = Project.create({ 'start.js': PROXY })
  await project.start('js', [], { UPSTREAM: String(echo.port) })
  const processes = async () => (await project.status()).groups[0]?.processes ?? []
  const [first] = await processes()
  const client = connect({ host: '127.0.0.1', port: await project.port('proxy'), allowHalfOpen: true })
  const ended = new Promise((resolve, reject) => client.once('end', resolve).once('error', reject))
  ended.catch(() => undefined)
  client.pause()
  const sending = sendAll(client)
  await stalled(client)
  let keptBytes = 0
  await until('it tells what it keeps', async () => {
    keptBytes = Number((await processes())[0]?.figures?.['keptBytes'] ?? 0)
    return keptBytes > 0
  })
  expect(keptBytes).toBeLessThan(MUCH_BYTES)
  expect((await project.reload('--wait', 'serving')).code).toBe(0)
  const states = (await processes()).map(({ pid, state }) => `${state} ${pid === first?.pid ? 'old' : 'new'}`).sort()
  expect(states).toEqual(['draining old', 'serving new'])

  const hash = createHash('sha256')
  let received = 0
  client.on('data', (chunk) => {
    hash.update(chunk)
    received += chunk.length
    client.pause()
    setTimeout(() => client.resume(), 1)
  })
  client.resume()
  await Promise.all([sending, ended])
  expect(received).toBe(CHUNKS * CHUNK.length)
  const expected = createHash('sha256')
  for (let index = 0; index < CHUNKS; index++) expected.update(CHUNK)
  expect(hash.digest('hex')).toBe(expected.digest('hex'))
  await until('the old one has left', () => !isAlive(first?.pid ?? 0))
  expect(project.log).not.toMatch(/ cut /)
  await until('the server is let go', () => echo.open === 0)
})

it('what either side of a proxy loses, the other is told; a client that leaves too soon leaves nothing behind', async () => {
  const server = await TestServer.listen({
    onConnection: (socket) => socket.on('data', (bytes) => socket.write(bytes)),
  })
  const project = Project.create({ 'start.js': PROXY })
  await project.start('js', [], { UPSTREAM: String(server.port) })
  const port = await project.port('proxy')
  for (let round = 0; round < 20; round++)
    connect({ port }, function (this: Socket) {
      this.resetAndDestroy()
    })
  const [left, lost] = await Promise.all([Client.open({ port }), Client.open({ port })])
  for (const [index, client] of [left, lost].entries()) {
    client.socket.write(`echo ${index}`)
    await new Promise((resolve) => client.socket.once('data', resolve))
  }
  left.socket.resetAndDestroy()
  await until('one is left', () => server.open === 1)
  server.sockets.find((socket) => !socket.destroyed)?.resetAndDestroy()
  await until('it is told', () => lost.isClosed)
  await until('nothing is open', async () => (await project.status()).groups[0]?.processes[0]?.connections === 0)
  await server.end()
  const refused = await Client.open({ port })
  await until('without a server it is disconnected', () => refused.isClosed)
})
