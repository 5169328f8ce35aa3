/** `listen` with `exclusive`: an address that one worker has alone, and sockets that come and go with it. */
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { makeCertificate } from '../helpers/certificate.ts'
import { quietPorts } from '../helpers/cli.ts'
import { gone, kill } from '../helpers/faults.ts'
import { Peer } from '../helpers/peer.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { speechOf } from '../helpers/speeches.ts'

/** Each worker does what it is asked for, a line of JSON each. */
const START = `
import { statSync } from 'node:fs'
import { connect, listen, Worker } from 'shiftwork'
const lines = new Worker('text://127.0.0.1:0', { name: 'lines', count: Number(process.env.COUNT ?? 1), bakeMs: 0 })
const opened = new Map()
const asked = {
  async listen({ address, ...options }) {
    const hooks = { onConnect: (connection) => connection.send('here is ' + process.pid), onMessage: (connection, line) => connection.send(line) }
    const listener = await listen(address, { ...hooks, ...options })
    opened.set(address, listener)
    return { address: listener.address, port: listener.port }
  },
  close: ({ address }) => opened.get(address).close(),
  async connect({ address, ...options }) {
    const upstream = connect(address, { reconnect: false, ...options })
    const heard = new Promise((resolve) => { upstream.onMessage = (_connection, line) => resolve(line) })
    await upstream.whenConnected()
    return heard
  },
  /** The mode of a socket as soon as it is there. */
  async modes({ address, ...options }) {
    const modes = []
    const umask = process.umask
    process.umask = (mask) => {
      try { modes.push(statSync(address.slice(address.indexOf('/') + 2)).mode & 0o777) } catch {}
      return umask.call(process, mask)
    }
    umask.call(process, 0)
    try { await asked.listen({ address, ...options }) } finally { process.umask = umask }
    return modes
  },
  exit: () => process.exit(3),
  crash: () => void setTimeout(() => { throw new Error('asked for') }),
}
lines.onMessage = async (connection, line) => {
  const { ask, ...what } = JSON.parse(line)
  try { connection.send(JSON.stringify({ pid: process.pid, result: await asked[ask](what) })) }
  catch (error) { connection.send(JSON.stringify({ pid: process.pid, code: error.code, message: error.message, hint: error.hint })) }
}
const init = process.env.INIT
lines.onWorkerStart = async () => { if (init) await asked.listen({ address: init.replace('PID', process.pid), exclusive: true }) }
Worker.runAll()
`

interface Answer {
  pid: number
  result?: unknown
  code?: string
  message?: string
  hint?: string
}

function create(): Project {
  return Project.create({ 'start.js': START })
}

async function open(target: { port: number } | { path: string }): Promise<Peer> {
  const peer = await Peer.open(speechOf('text'), target)
  onTestFinished(() => peer.destroy())
  return peer
}

/** A connection to some worker of the fleet, which does what it says. */
async function worker(project: Project): Promise<(ask: string, what?: object) => Promise<Answer>> {
  const peer = await open({ port: await project.port('lines') })
  return (ask, what = {}) => peer.askJson<Answer>(JSON.stringify({ ask, ...what }))
}

/** Connections to two of its workers. */
async function twoWorkers(project: Project): Promise<Awaited<ReturnType<typeof worker>>[]> {
  const found = new Map<number, Awaited<ReturnType<typeof worker>>>()
  await until('both were reached', async () => {
    const asks = await worker(project)
    found.set((await asks('nothing')).pid, asks)
    return found.size === 2
  })
  return [...found.values()]
}

function deepIn(project: Project): string {
  const deep = join(project.dir, 'deep/'.repeat(30))
  mkdirSync(deep, { recursive: true })
  return deep
}

it('U5 exclusive: port 0 is another one in each worker, and a port that another has is refused', async () => {
  const project = create()
  await project.start('js', [], { COUNT: '2' })
  const workers = await twoWorkers(project)
  const own = await Promise.all(
    workers.map((asks) => asks('listen', { address: 'text://127.0.0.1:0', exclusive: true })),
  )
  const ports = own.map(({ result }) => (result as { port: number }).port)
  expect(new Set(ports).size).toBe(2)
  for (const { pid, result } of own) {
    for (let times = 0; times < 3; times++)
      expect(await (await open({ port: (result as { port: number }).port })).next()).toBe(`here is ${pid}`)
  }
  const [port = 0] = await quietPorts(1)
  const address = `text://127.0.0.1:${port}`
  const [first, second] = workers
  expect(await first?.('listen', { address, exclusive: true })).toMatchObject({ result: { address } })
  expect(await second?.('listen', { address, exclusive: true })).toMatchObject({
    code: 'ERR_ADDRESS_IN_USE',
    message: expect.stringContaining(`Cannot listen on ${address}: address already in use`),
  })
  expect((await project.shiftwork('stop')).code).toBe(0)
})

it('U5 exclusive: a unix socket has its mode from the first moment on, and what cannot have one says so', async () => {
  const project = create()
  await project.start()
  const asks = await worker(project)
  const address = `text+unix://${project.dir}/a.sock`
  expect(await asks('modes', { address, exclusive: true, socketMode: 0o640 })).toMatchObject({ result: [0o640] })
  expect(statSync(join(project.dir, 'a.sock')).mode & 0o777).toBe(0o640)
  // as the umask says
  expect(await asks('listen', { address: `text+unix://${project.dir}/b.sock`, exclusive: true })).toHaveProperty(
    'result',
  )
  expect(statSync(join(project.dir, 'b.sock')).mode & 0o777).toBe(0o777)
  for (const [options, sentence] of [
    [{ address: 'text://127.0.0.1:0', exclusive: true, socketMode: 0o600 }, 'has socketMode but is no unix socket'],
    [{ address, socketMode: 0o600 }, 'has socketMode but is shared with other workers'],
    [{ address, exclusive: true, socketMode: '600' }, 'socketMode is "600"'],
    [{ address, exclusive: 1 }, 'exclusive is 1'],
  ] as const)
    expect(await asks('listen', options)).toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining(sentence),
    })
  expect((await project.shiftwork('stop')).code).toBe(0)
})

it('U5 exclusive: a path of any length is listened on and connected to, and cleared when it is closed', async () => {
  const project = create()
  await project.start()
  const asks = await worker(project)
  const path = join(deepIn(project), 'gateway.sock')
  const address = `text+unix://${path}`
  expect(Buffer.byteLength(path)).toBeGreaterThan(150)
  expect(await asks('connect', { address })).toMatchObject({
    code: 'ERR_CONNECT',
    message: `Cannot connect to ${address}: there is no such socket`,
  })
  const missing = address.replace('deep/deep', 'deep/none')
  expect(await asks('connect', { address: missing })).toMatchObject({
    message: `Cannot connect to ${missing}: there is no such socket`,
  })
  expect(await asks('listen', { address: missing, exclusive: true })).toMatchObject({
    code: 'ERR_ADDRESS',
    message: `Cannot listen on ${missing}: its directory does not exist`,
  })
  const { pid, result } = await asks('listen', { address, exclusive: true, socketMode: 0o600 })
  expect(result).toEqual({ address, port: null })
  expect(await asks('connect', { address })).toMatchObject({ result: `here is ${pid}` })
  expect(await asks('listen', { address, exclusive: true })).toMatchObject({ code: 'ERR_ADDRESS_IN_USE' })
  const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length
  await asks('close', { address })
  expect(existsSync(path)).toBe(false)
  // and nothing is left open, as often as it is done
  await asks('listen', { address, exclusive: true })
  const before = descriptors()
  for (let times = 0; times < 5; times++) {
    expect(await asks('close', { address })).not.toHaveProperty('code')
    expect(await asks('listen', { address, exclusive: true })).toHaveProperty('result')
    expect(await asks('listen', { address, exclusive: true })).toHaveProperty('code')
    expect(await asks('connect', { address: missing })).toHaveProperty('code')
  }
  await until('its descriptors are as many as before', () => descriptors() <= before)
  expect(await asks('listen', { address: `${address}2` })).toMatchObject({
    code: 'ERR_ADDRESS',
    message: `Cannot listen on "${address}2": the path is too long to be shared`,
  })
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(readdirSync(join(path, '..'))).toEqual([])
})

it('U5 exclusive: inside TLS and for WebSockets, too', async () => {
  const project = create()
  makeCertificate(project)
  const [key, cert] = [project.read('key.pem'), project.read('cert.pem')]
  await project.start()
  const asks = await worker(project)
  for (const scheme of ['text+tls', 'wss', 'ws']) {
    const address = `${scheme}+unix://${join(deepIn(project), `${scheme}.sock`)}`
    const [server, client] =
      scheme === 'ws' ? [{}, {}] : [{ tls: { key, cert } }, { tls: { rejectUnauthorized: false } }]
    const { pid } = await asks('listen', { address, exclusive: true, ...server })
    expect(await asks('connect', { address, ...client })).toMatchObject({ result: `here is ${pid}` })
  }
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(readdirSync(deepIn(project))).toEqual([])
})

it('U5 exclusive: what a killed worker has left is replaced; what another has, or a file, is refused and stays', async () => {
  const project = create()
  const path = join(project.dir, 'w.sock')
  const address = `text+unix://${path}`
  await project.start('js', [], { INIT: address })
  const [killed = 0] = await project.pids('lines')
  expect(await (await open({ path })).next()).toBe(`here is ${killed}`)
  await kill(project, killed)
  await until('another serves', async () => (await project.pids('lines')).some((pid) => pid !== killed))
  const [pid = 0] = await project.pids('lines')
  const client = await open({ path })
  expect(await client.next()).toBe(`here is ${pid}`)

  // a successor that wants the same
  const { code, summary } = await project.reload()
  expect({ code, message: summary.error?.message }).toEqual({
    code: 5,
    message: expect.stringContaining(`Cannot listen on ${address}: address already in use`),
  })
  expect(await client.ask('still there')).toBe('still there')
  expect(await (await open({ path })).next()).toBe(`here is ${pid}`)

  writeFileSync(join(project.dir, 'file'), 'precious')
  const asks = await worker(project)
  expect(await asks('listen', { address: `text+unix://${project.dir}/file`, exclusive: true })).toMatchObject({
    code: 'ERR_ADDRESS',
    message: `Cannot listen on text+unix://${project.dir}/file: a file that is no socket is there`,
    hint: `Move ${project.dir}/file away, or choose another path.`,
  })
  expect(project.read('file')).toBe('precious')
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(existsSync(path)).toBe(false)
})

for (const [what, leave] of [
  ['a stop', async (project: Project) => void (await project.shiftwork('stop'))],
  ['a reload', async (project: Project) => void (await project.reload())],
  ['an exit', async (project: Project) => void (await (await worker(project))('exit').catch(() => undefined))],
  ['an exception', async (project: Project) => void (await (await worker(project))('crash'))],
  ['the death of its master', async (project: Project, master: number) => void (await kill(project, master))],
] as const)
  it(`U5 exclusive: the socket goes when its worker leaves by ${what}, whether its path is long or short`, async () => {
    for (const directory of [(project: Project) => project.dir, deepIn]) {
      const project = create()
      const running = await project.start('js', [], { INIT: `text+unix://${directory(project)}/w-PID.sock` })
      const [pid = 0] = await project.pids('lines')
      const path = join(directory(project), `w-${pid}.sock`)
      expect(existsSync(path)).toBe(true)
      await leave(project, running.pid)
      await gone(pid)
      expect(existsSync(path)).toBe(false)
      await project.shiftwork('stop', '--force', '--timeout', '0')
    }
  })
