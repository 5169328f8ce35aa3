/** `listen`: one more address that a worker's own code opens. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { ConnectionList } from '../../src/ipc/connections.ts'
import { quietPorts } from '../helpers/cli.ts'
import { Peer } from '../helpers/peer.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'
import { speechOf } from '../helpers/speeches.ts'

const START = `
import { listen, Worker } from 'shiftwork'
const lines = new Worker('text://127.0.0.1:0', { name: 'lines', count: 2, bakeMs: 0 })
lines.onMessage = (connection, line) => connection.send(line)
lines.onWorkerStart = async (worker) => {
  const { VERSION, answer } = await import('./app.js')
  const admin = await listen('text://127.0.0.1:' + process.env.ADMIN_PORT, {
    onConnect: (connection) => connection.send('admin ' + connection.worker.name),
    onMessage: (connection, line) => answer(connection, line, { worker, admin }),
  })
  const local = await listen('frame+unix://' + process.cwd() + '/local.sock', { onMessage: (connection, data) => connection.send(data) })
  console.log('opened', admin.address, local.address.replace(process.cwd(), ''), local.port)
}
Worker.runAll()
`

const app = (version: string): string => `
export const VERSION = '${version}'
export async function answer(connection, line, { worker, admin }) {
  if (line === 'slow') await new Promise((resolve) => setTimeout(resolve, 500))
  if (line === 'broadcast') worker.broadcast('to all')
  connection.send([VERSION, line, admin.connections.size, worker.connections.size].join(' '))
}
`

async function open(speech: string, target: { port: number } | { path: string }): Promise<Peer> {
  const peer = await Peer.open(speechOf(speech), target)
  onTestFinished(() => peer.destroy())
  return peer
}

it('is served beside the own address, drained and listed like it, and not meant by a broadcast', async () => {
  const [port = 0] = await quietPorts(1)
  const project = Project.create({ 'start.js': START, 'app.js': app('one') })
  const running = await project.start('js', [], { ADMIN_PORT: String(port) })
  await running.line(new RegExp(`^opened text://127.0.0.1:${port} frame\\+unix:///local.sock null$`, 'm'))
  const [admin, other] = [await open('text', { port }), await open('text', { port: await project.port('lines') })]
  expect(await admin.next()).toBe('admin lines')
  expect(await other.ask('hello')).toBe('hello')
  expect(await admin.ask('count')).toMatch(/^one count 1 [01]$/)
  // the next that it hears is its answer
  expect(await admin.ask('broadcast')).toMatch(/^one broadcast 1 [01]$/)
  const local = await open('frame', { path: `${project.dir}/local.sock` })
  expect(await local.ask('over a path')).toBe('over a path')

  // on a busy machine the master, or one of its workers, may be late with an answer
  let list: Partial<ConnectionList> = {}
  const look = async (): Promise<typeof list> => {
    list = JSON.parse((await project.shiftwork('connections', '--json')).stdout) as typeof list
    return list
  }
  await expect.poll(look, { timeout: 30_000 }).toMatchObject({ missing: [] })
  expect(list.connections?.map(({ protocol }) => protocol).sort()).toEqual(['frame', 'text', 'text'])

  project.write('app.js', app('two'))
  admin.send('slow')
  const { code, summary } = await project.reload()
  expect({ code, cut: summary.replaced.map((row) => row.connectionsCut) }).toEqual({ code: 0, cut: [0, 0] })
  const { messages, ending } = await admin.rest()
  expect({ messages: messages.map((message) => message.slice(0, 8)), ending }).toEqual({
    messages: ['one slow'],
    ending: 'end',
  })
  const next = await open('text', { port })
  expect(await next.next()).toBe('admin lines')
  expect(await next.ask('again')).toMatch(/^two again 1 0$/)
  expect(await project.shiftwork('stop')).toMatchObject({ code: 0 })
})

it('fails the start of its worker with the reason', async () => {
  const START_WITH = (call: string): string => `
import { listen, Worker } from 'shiftwork'
const lines = new Worker({ name: 'lines' })
lines.onWorkerStart = () => ${call}
Worker.runAll()
`
  for (const [call, reason] of [
    [`listen('udp://127.0.0.1:0', { onMessage() {} })`, 'it takes datagrams'],
    [`listen('text://127.0.0.1:0')`, 'answers nothing'],
    [`listen('tls://127.0.0.1:0', { onMessage() {} })`, 'has no tls'],
    [`listen('text://127.0.0.1:0', { onMessage() {}, tls: {} })`, 'has tls'],
    [`listen(7000, { onMessage() {} })`, 'Cannot listen on 7000'],
  ] as const) {
    const project = Project.create({ 'start.js': START_WITH(call) })
    const { code, stdout, stderr } = await project.shiftwork('start')
    expect({ call, code, said: (stdout + stderr).includes(reason) }).toEqual({ call, code: 1, said: true })
  }
})

it('one that parts last answers who comes while onWorkerStop runs, also when nothing else is open', async () => {
  const project = Project.create({
    'start.js': `
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { listen, Worker } from 'shiftwork'
const jobs = new Worker({ name: 'jobs' })
jobs.onWorkerStart = async () => {
  const admin = await listen('text://127.0.0.1:0', { partsLast: true, onMessage: async (connection, line) => {
    writeFileSync('asked.txt', '')
    await delay(500)
    connection.send('answer to ' + line)
  } })
  console.log('admin on', admin.port)
}
jobs.onWorkerStop = async () => {
  writeFileSync('stopping.txt', '')
  while (!existsSync('asked.txt')) await delay(5)
}
Worker.runAll()`,
  })
  const running = await project.start()
  const [, port] = await running.line(/^admin on (\d+)$/m)
  const stopped = project.shiftwork('stop')
  await until('its worker leaves', () => existsSync(join(project.dir, 'stopping.txt')))
  const peer = await open('text', { port: Number(port) })
  peer.send('hello')
  expect(await peer.rest()).toEqual({ messages: ['answer to hello'], ending: 'end' })
  expect(await stopped).toMatchObject({ code: 0, stderr: '' })
})
