/** Datagrams: answered on both families, through reloads, deaths and stops, each exactly once. Group W. */
import { createSocket } from 'node:dgram'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { quietPorts } from '../helpers/cli.ts'
import {
  DatagramClient,
  DatagramLoad,
  type DatagramLoadOptions,
  GATE,
  GATED,
  udpApp,
  udpStart,
} from '../helpers/datagrams.ts'
import { isBound, isListening, Lookout } from '../helpers/listening.ts'
import { isAlive, until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'
import { hasKilled, inTime } from '../helpers/rounds.ts'

interface Started {
  project: Project
  running: Running
  port: number
}

async function start(options: Record<string, unknown> = {}, listen?: string, more?: string): Promise<Started> {
  const project = Project.create({ 'start.js': udpStart(options, listen), 'app.js': udpApp('1', more) })
  const running = await project.start()
  return { project, running, port: await project.port() }
}

/** Far below what a socket's queue holds, whatever becomes of the workers. */
function load(port: number, more: Partial<DatagramLoadOptions> = {}): DatagramLoad {
  return new DatagramLoad({ port: () => port, clients: 4, window: 8, pauseMs: [0, 10], ...more })
}

function expectWhole({ asked, answered, lost, doubled }: Awaited<ReturnType<DatagramLoad['stop']>>): void {
  expect({ lost, doubled }).toEqual({ lost: [], doubled: [] })
  expect(answered).toBe(asked)
  expect(asked).toBeGreaterThan(100)
}

function kill(pids: readonly number[]): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return until('they are dead', () => pids.every((pid) => !isAlive(pid)))
}

for (const [family, host, listen, shown] of [
  ['IPv4', '127.0.0.1', 'udp://127.0.0.1:0', /^udp:\/\/127\.0\.0\.1:\d+$/],
  ['IPv4 by name', '127.0.0.1', 'udp://localhost:0', /^udp:\/\/localhost:\d+$/],
  ['IPv6', '::1', 'udp://[::1]:0', /^udp:\/\/\[::1\]:\d+$/],
  ['IPv6 on every address', '::1', 'udp://[::]:0', /^udp:\/\/\[::\]:\d+$/],
] as const)
  it(`W1 a datagram over ${family} is answered, counted, and knows both ends`, async () => {
    const { project, port } = await start(
      { count: 1 },
      listen,
      `worker.onMessage = (connection, data) => {
        const { remoteAddress, remotePort, localPort, protocol, state, bytesRead, id } = connection
        connection.send(JSON.stringify({ said: data.toString(), remoteAddress, remotePort, localPort, protocol, state, bytesRead, id }))
      }`,
    )
    const client = await DatagramClient.open(host)
    const [first, second] = [await client.ask(port, 'a'), await client.ask(port, 'ü')]
    expect(first).toMatchObject({ remoteAddress: host, remotePort: client.port, localPort: port })
    expect(second).toMatchObject({ protocol: 'udp', state: 'open', bytesRead: 2 })
    expect((first as unknown as { id: string }).id).not.toBe((second as unknown as { id: string }).id)
    const look = async () => (await project.status()).groups[0]
    expect((await look())?.listen[0]).toMatch(shown)
    await until('both are counted', async () => (await look())?.processes[0]?.requests === 2)
    await until('none is open', async () => (await look())?.processes[0]?.connections === 0)
    expect((await look())?.processes[0]?.state).toBe('serving')
  })

it('W1 a socket for both families answers an IPv4 client, too', async () => {
  const { port } = await start({ count: 1 }, 'udp://[::]:0')
  const client = await DatagramClient.open('127.0.0.1')
  expect(await client.ask(port, 'four')).toMatchObject({ said: 'four' })
})

it('W1 empty datagrams and the longest ones come and go', async () => {
  const { port } = await start({ count: 1 }, 'udp://127.0.0.1:0', 'worker.onMessage = (c, data) => c.send(data)')
  const client = await DatagramClient.open()
  await client.send(port, '')
  await client.send(port, Buffer.alloc(65_507, 'x'))
  await client.count(2)
  expect(client.answers.map((answer) => answer.length)).toEqual([0, 65_507])
})

it('W2 an address in use is the start command’s own error, and nothing is left', async () => {
  const holder = createSocket('udp4')
  onTestFinished(() => void holder.close())
  await new Promise<void>((resolve) => holder.bind(0, '127.0.0.1', resolve))
  const { port } = holder.address()
  const project = Project.create({ 'start.js': udpStart({}, `udp://127.0.0.1:${port}`), 'app.js': udpApp('1') })
  for (const args of [['start'], ['start', '-d']]) {
    const result = await project.exec(process.execPath, [project.startFile, ...args])
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toContain(`Cannot listen on udp://127.0.0.1:${port}: address already in use`)
    expect(project.processes).toEqual([])
  }
})

it.each([
  ['udp://203.0.113.9:0', 'this machine has no such address'],
  ['udp+unix:///tmp/x.sock', 'Node.js knows no datagrams on unix sockets'],
])('W2 %s: %s', async (listen, sentence) => {
  const project = Project.create({ 'start.js': udpStart({}, listen), 'app.js': udpApp('1') })
  const result = await project.exec(process.execPath, [project.startFile, 'start'])
  expect(result.code).toBe(1)
  expect(result.stderr).toContain(sentence)
})

it('W2 one port for TCP and UDP in one fleet, each with its own group', async () => {
  const [port = 0] = await quietPorts(1)
  const groups = `
import { Worker } from 'shiftwork'
for (const scheme of ['udp', 'text']) {
  const worker = new Worker(scheme + '://127.0.0.1:${port}', { name: scheme })
  worker.onMessage = (connection, data) => connection.send(JSON.stringify({ said: data.toString(), scheme }))
}
Worker.runAll()`
  const project = Project.create({ 'start.js': groups })
  await project.start()
  const client = await DatagramClient.open()
  expect(await client.ask(port, 'x')).toMatchObject({ scheme: 'udp' })
  expect((await project.reload()).code).toBe(0)
  expect(await client.ask(port, 'y')).toMatchObject({ scheme: 'udp' })
})

it('W2 a worker without onMessage answers nothing, and does not start', async () => {
  const project = Project.create({
    'start.js': udpStart({ count: 1 }),
    'app.js': 'export function attach(worker) { worker.onConnect = () => undefined }',
  })
  const result = await project.exec(process.execPath, [project.startFile, 'start'])
  expect(result.code).toBe(1)
  expect(result.stdout + result.stderr).toContain('Set worker.onMessage, in onWorkerStart or before runAll().')
})

it('W3 a handler that throws, rejects or sends what is too long: onError and the log hear of it, the worker lives', async () => {
  const { project, running, port } = await start(
    { count: 1 },
    undefined,
    `worker.onError = (connection, error) => console.log('told: ' + (error.code ?? '') + ' ' + error.message)`,
  )
  const [pid] = await project.pids()
  const client = await DatagramClient.open()
  await client.send(port, 'throw')
  await client.send(port, 'reject')
  expect(await client.ask(port, 'long 65508')).toMatchObject({ pid })
  expect(await client.ask(port, 'after')).toMatchObject({ pid, version: '1' })
  await running.line(/^told: {2}thrown on purpose$/m)
  await running.line(/^told: {2}rejected on purpose$/m)
  await running.line(/^told: ERR_MESSAGE_TOO_LARGE A datagram has at most 65507 bytes, not 65508$/m)
  await running.line(/onMessage of a udp connection failed: Error: thrown on purpose/)
  await running.line(/onMessage of a udp connection failed: Error: rejected on purpose/)
  expect(client.answers).toHaveLength(2)
  expect(await project.pids()).toEqual([pid])
})

it('W4 a handler that is not done is awaited by the drain, and its answer goes out, while new code answers others', async () => {
  const { project, port } = await start({ count: 1 })
  const [old] = await project.pids()
  const client = await DatagramClient.open()
  const slow = client.ask(port, 'slow 2500')
  expect(await client.ask(port, 'first')).toMatchObject({ pid: old })
  project.write('app.js', udpApp('2'))
  const reload = project.reload('--wait', 'serving')
  expect((await reload).code).toBe(0)
  const other = await client.ask(port, 'second')
  expect(await slow).toMatchObject({ pid: old, version: '1' })
  expect(client.answers.map((answer) => (JSON.parse(answer) as { said: string }).said)).toContain('slow 2500')
  expect([old, ...(await project.pids())]).toContain(other.pid)
  await until('the old worker has left', () => !isAlive(old ?? 0))
  expect(await client.ask(port, 'third')).toMatchObject({ version: '2' })
})

it('W4 a handler that never settles is cut at the deadline, counted and named', async () => {
  const reload = async () => {
    const { project, port } = await start({ count: 1, stopTimeoutMs: 300 })
    const client = await DatagramClient.open()
    await client.send(port, 'never')
    await client.ask(port, 'after')
    return { project, port, client, ...(await project.reload()) }
  }
  const { project, port, client, code, summary } = await inTime(reload, hasKilled)
  expect({ code, cut: summary.replaced[0]?.connectionsCut }).toEqual({ code: 0, cut: 1 })
  expect(project.log).toMatch(
    new RegExp(`web/0 \\(pid \\d+\\) cut 1 connection: a datagram from 127\\.0\\.0\\.1 port ${client.port}\\n`),
  )
  expect(await client.ask(port, 'then')).toMatchObject({ version: '1' })
})

for (const count of [1, 2])
  it(`W5 ten reloads with ${count} worker(s) under load: every datagram is answered exactly once`, async () => {
    const { project, port } = await start({ count })
    const fast = load(port)
    const slow = load(port, { command: 'slow 20', clients: 2 })
    const answers = (round: number): Promise<void> =>
      until(`version ${round} answers`, () => fast.result.versions.has(String(round)))
    await answers(1)
    for (let round = 2; round <= 11; round++) {
      project.write('app.js', udpApp(String(round)))
      const { code, summary } = await project.reload()
      expect({ code, cut: summary.replaced.map((row) => row.connectionsCut) }).toEqual({
        code: 0,
        cut: Array.from({ length: count }, () => 0),
      })
      await answers(round)
    }
    const result = await fast.stop()
    expectWhole(result)
    expectWhole(await slow.stop())
    expect(result.byPid.size).toBeGreaterThan(10)
  })

for (const count of [1, 2])
  it(`W6 all ${count} worker(s) killed: datagrams wait in the kernel and are answered by the next`, async () => {
    const { project, port } = await start({ count })
    const client = await DatagramClient.open()
    for (let round = 1; round <= 3; round++) {
      const old = await project.pids()
      // stopped first: a worker that is killed with a datagram in its hands takes it along
      for (const pid of old) process.kill(pid, 'SIGSTOP')
      const asked = Array.from({ length: 40 }, (_, number) => `echo ${round}.${number}`)
      for (const text of asked) await client.send(port, text)
      await kill(old)
      const answers = await Promise.all(asked.map((text) => client.answerTo(text)))
      expect(answers.filter(({ pid }) => old.includes(pid))).toEqual([])
      expect(client.answers).toHaveLength(round * 40)
      await until('all serve again', async () => (await project.pids()).length === count)
    }
  })

it('W6 a worker that hangs is killed, and what came meanwhile is answered by the next', async () => {
  const { project, port } = await start({ count: 1, hangTimeoutMs: 500 })
  const [old] = await project.pids()
  const client = await DatagramClient.open()
  await client.send(port, 'block 600000')
  const answer = await client.ask(port, 'waits')
  expect(answer.pid).not.toBe(old)
  expect(project.log).toContain('its event loop has not answered for 500 ms')
})

it('W7 more workers and fewer under load: nothing is lost', async () => {
  const { project, port } = await start({ count: 1 })
  const going = load(port)
  for (const count of [3, 1, 4, 2]) expect((await project.shiftwork('scale', `web=${count}`)).code).toBe(0)
  const result = await going.stop()
  expectWhole(result)
  expect(result.byPid.size).toBeGreaterThan(2)
})

it('W8 a reload that moves the port: what was sent to either is answered, and then the old one is free', async () => {
  const [first = 0, second = 0] = await quietPorts(2)
  const { project } = await start({ count: 2 }, `udp://127.0.0.1:${first}`, GATED)
  let port = first
  const going = load(first, { port: () => port })
  await until('it is under way', () => going.result.answered > 50)
  project.write(GATE, '')
  project.write('start.js', udpStart({ count: 2 }, `udp://127.0.0.1:${second}`))
  const reload = project.reload('--wait', 'serving')
  await until('the new one is bound', () => isBound(second))
  // nobody reads it yet: what is sent there waits
  port = second
  rmSync(join(project.dir, GATE))
  expect((await reload).code).toBe(0)
  await until('the old one is closed', () => !isBound(first))
  const result = await going.stop()
  expectWhole(result)
  expect(await project.port()).toBe(second)
})

it('W8 a reload to an address in use is rejected, and the old one answers on', async () => {
  const holder = createSocket('udp4')
  onTestFinished(() => void holder.close())
  await new Promise<void>((resolve) => holder.bind(0, '127.0.0.1', resolve))
  const { project, port } = await start({ count: 1 })
  project.write('start.js', udpStart({ count: 1 }, `udp://127.0.0.1:${holder.address().port}`))
  const { code, summary } = await project.reload()
  expect({ code, result: summary.result }).toEqual({ code: 5, result: 'rejected' })
  expect(summary.error?.message).toContain('address already in use')
  const client = await DatagramClient.open()
  expect(await client.ask(port, 'still')).toMatchObject({ said: 'still' })
})

for (const count of [1, 2])
  it(`W9 a stop with ${count} worker(s): what had reached the machine before is answered, then the port is free`, async () => {
    const { project, running, port } = await start({ count })
    const client = await DatagramClient.open()
    const pids = await project.pids()
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    const asked = Array.from({ length: 100 }, (_, number) => `slow 5 ${number}`)
    for (const text of asked) await client.send(port, text)
    const stop = project.shiftwork('stop')
    await until('they are told', () => project.log.split('drains (stop)').length > count)
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    await Promise.all(asked.map((text) => client.answerTo(text)))
    expect(client.answers).toHaveLength(100)
    expect(await stop).toMatchObject({ code: 0, stdout: expect.not.stringContaining('cut') as string })
    expect(await running.ended).toMatchObject({ code: 0 })
    expect(pids.filter(isAlive)).toEqual([])
    expect(isBound(port)).toBe(false)
  })

it('W8 a group that changes from text to datagrams on the same port speaks both until it has changed', async () => {
  const [port = 0] = await quietPorts(1)
  const { project } = await start({ count: 1 }, `text://127.0.0.1:${port}`, GATED)
  const client = await DatagramClient.open()
  project.write(GATE, '')
  project.write('start.js', udpStart({ count: 1 }, `udp://127.0.0.1:${port}`))
  const reload = project.reload()
  await until('the socket is bound', () => isBound(port))
  expect(isListening(port)).toBe(true)
  rmSync(join(project.dir, GATE))
  expect(await client.ask(port, 'first')).toMatchObject({ said: 'first' })
  expect((await reload).code).toBe(0)
  await until('text is closed', () => !isListening(port))
  expect((await project.status()).groups[0]?.listen).toEqual([`udp://127.0.0.1:${port}`])
})

it('W8 a dry run says what would move, and leaves everything as it is', async () => {
  const [first = 0, second = 0] = await quietPorts(2)
  const { project } = await start({ count: 1 }, `udp://127.0.0.1:${first}`)
  project.write('start.js', udpStart({ count: 1 }, `udp://127.0.0.1:${second}`))
  const result = await project.shiftwork('reload', '--dry-run')
  expect(result.code).toBe(0)
  expect(result.stdout).toContain(`udp://127.0.0.1:${first} → udp://127.0.0.1:${second}`)
  expect([isBound(first), isBound(second)]).toEqual([true, false])
})

it('W9 the port is held from the start to the stop, through kills, reloads and broken code', async () => {
  const { project, running, port } = await start({ count: 2 })
  const lookout = new Lookout(port, { kind: 'udp' })
  lookout.doing = 'killing all workers'
  for (let round = 0; round < 2; round++) {
    const old = await project.pids()
    await kill(old)
    await until('all serve again', async () => (await project.pids()).filter((pid) => !old.includes(pid)).length === 2)
  }
  lookout.doing = 'reloading'
  for (let round = 0; round < 2; round++) expect((await project.reload()).code).toBe(0)
  lookout.doing = 'a reload of broken code'
  project.write('app.js', 'export const nothing = )')
  expect((await project.reload()).code).toBe(5)
  await lookout.end()
  expect(lookout.missed).toEqual([])
  expect(lookout.looks).toBeGreaterThan(100)
  const client = await DatagramClient.open()
  expect(await client.ask(port, 'still')).toMatchObject({ version: '1' })
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(await running.ended).toMatchObject({ code: 0, signal: null, stderr: '' })
  expect(isBound(port)).toBe(false)
})

it('W11 the master is killed: what has come is answered, the workers leave, and the next start has the port', async () => {
  const [port = 0] = await quietPorts(1)
  const { project, running } = await start({ count: 2 }, `udp://127.0.0.1:${port}`)
  const pids = await project.pids()
  const client = await DatagramClient.open()
  const asked = Array.from({ length: 40 }, (_, number) => `slow 200 ${number}`)
  for (const text of asked) await client.send(port, text)
  await kill([running.pid])
  await Promise.all(asked.map((text) => client.answerTo(text)))
  await until('the workers have left', () => !pids.some(isAlive))
  await until('the port is free', () => !isBound(port))
  await project.start()
  expect(pids).not.toContain((await client.ask(port, 'again')).pid)
  expect(client.answers).toHaveLength(41)
})

it('W10 an uncaught error costs nobody else a datagram: the worker answers what it has and is replaced', async () => {
  const { project, port } = await start(
    { count: 1 },
    undefined,
    `const { onMessage } = worker
    worker.onMessage = (connection, data) => {
      if (data.toString() === 'crash') setImmediate(() => { throw new Error('uncaught on purpose') })
      return onMessage(connection, data)
    }`,
  )
  const [old] = await project.pids()
  const going = load(port, { command: 'slow 20' })
  const client = await DatagramClient.open()
  await client.ask(port, 'crash')
  await until('it is replaced', async () => {
    const pids = await project.pids()
    return pids.length === 1 && !pids.includes(old ?? 0)
  })
  expectWhole(await going.stop())
})
