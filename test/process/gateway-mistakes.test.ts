/** What people forget or break around gateways, and what they are told: never silence. */
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { kill } from '../helpers/faults.ts'
import { FrameClient } from '../helpers/frames.ts'
import { until } from '../helpers/processes.ts'
import { BIN, Project, type Running } from '../helpers/project.ts'

const IMPORTS = "import { Worker } from 'shiftwork'\nimport { BusinessWorker, Gateway } from 'shiftwork/gateway'\n"
const GATEWAY = "const gateway = new Gateway('websocket://127.0.0.1:0', { name: 'gateway', bakeMs: 0 })\n"
const BUSINESS = `
const business = new BusinessWorker({ name: 'business', bakeMs: 0 })
business.onWorkerStart = async () => {
  const app = await import('./app.js')
  business.onConnect = app.onConnect
  business.onMessage = app.onMessage
}
`
const APP = `
export const onConnect = (client) => client.send('hello')
export const onMessage = (client, text) => client.send('heard ' + text)
`

function create(parts: string, files: Record<string, string> = {}): Project {
  return Project.create({ 'start.js': `${IMPORTS}${parts}\nWorker.runAll()\n`, 'app.js': APP, ...files })
}

async function connect(project: Project): Promise<FrameClient> {
  const client = await FrameClient.open({ port: await project.port('gateway') })
  onTestFinished(() => client.close())
  return client
}

it('business workers that handle nothing do not start', async () => {
  const project = create(`${GATEWAY}new BusinessWorker({ name: 'business' })`)
  const { code, stdout, stderr } = await project.through('js', 'start')
  expect({ code, text: stdout + stderr }).toEqual({
    code: 1,
    text: expect.stringContaining('BusinessWorker "business" handles nothing'),
  })
})

it('a hook that the business code does not export fails the start, and rejects a reload', async () => {
  const project = create(GATEWAY + BUSINESS)
  await project.start()
  const client = await connect(project)
  expect(await client.text()).toBe('hello')
  project.write('app.js', APP.replace('onMessage', 'onMesage'))
  const { code, summary } = await project.reload()
  expect({ code, message: summary.error?.message }).toEqual({
    code: 5,
    message: 'BusinessWorker "business": onMessage is undefined',
  })
  client.send('you')
  expect(await client.text()).toBe('heard you')
})

it('a hook with a name that is none fails the start, wherever it is set', async () => {
  const gateway = `${GATEWAY}gateway.onWorkerStart = () => { gateway.onMessage = () => {} }\n`
  for (const [parts, sentence] of [
    [
      GATEWAY + BUSINESS.replace('business.onMessage', 'business.onMesage'),
      'BusinessWorker: onMesage is no hook of it',
    ],
    [gateway + BUSINESS, 'Gateway: onMessage is no hook of it'],
  ] as const) {
    const { code, stdout, stderr } = await create(parts).through('js', 'start')
    expect({ code, text: stdout + stderr }).toEqual({ code: 1, text: expect.stringContaining(sentence) })
  }
})

it('a gateway whose onWebSocketConnect is none admits nobody: it does not start', async () => {
  const project = create(
    `${GATEWAY}gateway.onWorkerStart = () => { gateway.onWebSocketConnect = undefined }\n${BUSINESS}`,
  )
  const { code, stdout, stderr } = await project.through('js', 'start')
  expect({ code, text: stdout + stderr }).toEqual({
    code: 1,
    text: expect.stringContaining('Gateway "gateway": onWebSocketConnect is undefined'),
  })
})

it('a gateway without business workers says that its clients wait, until some come from another start file', async () => {
  const project = create(GATEWAY, { 'other.js': `${IMPORTS}${BUSINESS}Worker.runAll()\n` })
  const running = await project.start()
  const client = await connect(project)
  client.send('early')
  await running.line(/^shiftwork: 2 events of 1 clients wait: this gateway has no business worker/m)
  const other = await startBeside(project, 'other.js')
  expect([await client.text(), await client.text()]).toEqual(['hello', 'heard early'])
  expect(other.stderr).toBe('')
})

it('business workers without a gateway say where they look for one', async () => {
  const project = create(BUSINESS)
  const running = await project.start()
  const links = join(project.stateDir, 'links')
  const [text] = await running.line(/^shiftwork: this business worker has no gateway.*/m)
  expect(text).toContain(links)
})

it('a command with wrong arguments that nobody waits for is said with its place, and ends no worker', async () => {
  const app = `
    export const onConnect = (client) => client.send('hello')
    export const onMessage = (client, text) => {
      client.send({ a: 1 })
      client.join(5)
      client.close('bye')
      client.gateways.count()
      client.send('heard ' + text)
    }`
  const project = create(GATEWAY + BUSINESS, { 'app.js': app })
  const running = await project.start()
  const pids = await project.pids('business')
  const client = await connect(project)
  for (const text of ['once', 'and again']) client.send(text)
  for (const text of ['hello', 'heard once', 'heard and again']) expect(await client.text()).toBe(text)
  for (const sentence of [
    'Only text and bytes can be sent',
    'A group is text',
    'The options of a command are an object',
  ])
    await running.line(new RegExp(`^shiftwork: a command was not given, .*${sentence}.*\\n +at .*app\\.js`, 'm'))
  expect(await project.pids('business')).toEqual(pids)
})

it('a gateway that dies is not complained of once for each of its clients whose onClose has nobody to tell', async () => {
  const app = `${APP}
    export const onClose = async (client) => {
      console.log('gone')
      await client.gateways.sendToAll('somebody has left')
    }`
  const parts = BUSINESS.replace('  business.onMessage', '  business.onClose = app.onClose\n  business.onMessage')
  const project = create(GATEWAY + parts, { 'app.js': app })
  const running = await project.start()
  for (const client of [await connect(project), await connect(project)]) expect(await client.text()).toBe('hello')
  const [pid = 0] = await project.pids('gateway')
  await kill(project, pid)
  await until('both are told of', () => running.stdout.match(/^gone$/gm)?.length === 2)
  await until('another gateway serves', async () => (await project.pids('gateway')).some((now) => now !== pid))
  expect(await (await connect(project)).text()).toBe('hello')
  expect(running.stderr).not.toContain('onClose of client')
})

/** A second fleet in the same folder; it is stopped at the end. */
async function startBeside(project: Project, file: string): Promise<Running> {
  const path = join(project.dir, file)
  const running = project.launch(process.execPath, [path, 'start'])
  onTestFinished(async () => void (await project.exec(process.execPath, [BIN, 'stop', path])))
  await running.line(/^ready in /m)
  return running
}
