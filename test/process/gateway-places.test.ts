/** Where gateways and business workers find each other, and what their clients may speak. */
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { expect, it, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import type { Status } from '../../src/ipc/status.ts'
import { makeCertificate } from '../helpers/certificate.ts'
import { asNobody, canBeNobody, openToAll, shiftwork } from '../helpers/cli.ts'
import { kill } from '../helpers/faults.ts'
import { ask, GatewayFleet, Guest, gatewayStart } from '../helpers/gatewayfleet.ts'
import { LineClient } from '../helpers/lines.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const GATEWAY = `
import { Worker } from 'shiftwork'
import { Gateway } from 'shiftwork/gateway'
new Gateway('text://127.0.0.1:0', { name: 'gateway' })
Worker.runAll()
`

/** Starts one more start file of a project, which is stopped at the end. @returns its ports, by group. */
async function startAlso(project: Project, file: string, ...words: string[]): Promise<Record<string, number>> {
  const started = await shiftwork(project, ['start', file, '-d', ...words])
  expect(started).toMatchObject({ code: 0 })
  onTestFinished(async () => {
    await shiftwork(project, ['stop', file, '--timeout', '0', '--force', ...words])
  })
  let stdout = ''
  // a master that is too busy to say so within 1.2 s is seen in the process table alone
  await until('it says where it listens', async () => {
    const result = await shiftwork(project, ['status', file, '--json', ...words])
    stdout = result.stdout
    return result.code === 0
  })
  const rows = (JSON.parse(stdout) as Status).groups.map(({ name, listen }) => [
    name,
    Number(/:(\d+)$/.exec(listen[0] ?? '')?.[1]),
  ])
  return Object.fromEntries(rows) as Record<string, number>
}

/** Business workers and a web worker, without a gateway of their own. */
function workStart(options: Record<string, unknown> = {}): string {
  return gatewayStart({ gateways: '', business: options, client: options })
}

it('gateways and business workers of two start files in one folder find each other, of two folders they do not', async () => {
  const project = Project.create({ ...GatewayFleet.files(), 'gate.js': GATEWAY, 'work.js': workStart() })
  const stranger = Project.create({ ...GatewayFleet.files(), 'work.js': workStart() })
  const { gateway: port = 0 } = await startAlso(project, 'gate.js')
  const { web: strangeWeb = 0 } = await startAlso(stranger, 'work.js')
  // the one without any worker beside it waits for one
  const lines = await LineClient.open({ port, host: '127.0.0.1' })
  lines.send('early')
  const { web = 0 } = await startAlso(project, 'work.js')
  const hello = await lines.line((line) => line.startsWith('hello '))
  expect(await lines.line((line) => line === 'heard early')).toBe('heard early')
  const id = hello?.split(' ')[1]
  const fleet = new GatewayFleet(project, { gateway: port, web })
  expect(await ask(fleet.web, 'sendTo', id, 'from the web')).toBe('sent')
  expect(await lines.line((line) => line === 'from the web')).toBe('from the web')
  for (const startFile of ['gate.js', 'work.js', join(project.dir, 'work.js')])
    expect(await fleet.runProgram([['count']], { startFile })).toEqual([{ value: 1 }])

  const nobody = { error: 'ERR_NOT_RUNNING', message: 'There is no gateway' }
  expect(await new GatewayFleet(stranger, { gateway: 0, web: strangeWeb }).web.try('count')).toMatchObject(nobody)
  expect(await fleet.runProgram([['count']], { startFile: join(stranger.dir, 'work.js') })).toMatchObject([nobody])
  lines.close()
})

it('a linkDir of their own brings together what is in different folders', async () => {
  const project = Project.create({ ...GatewayFleet.files(), 'start.js': 'throw 1' })
  const linkDir = join(project.dir, 'meeting point')
  project.write('gates/gate.js', GATEWAY.replace("name: 'gateway'", `name: 'gateway', linkDir: '${linkDir}'`))
  for (const name of ['app.js', 'commands.js']) project.write(`works/${name}`, project.read(name))
  project.write('works/work.js', workStart({ linkDir }))
  const { web = 0 } = await startAlso(project, 'works/work.js')
  const { gateway: port = 0 } = await startAlso(project, 'gates/gate.js')
  const guest = await Guest.come(port)
  const fleet = new GatewayFleet(project, { gateway: port, web })
  expect(await ask(fleet.web, 'sendTo', guest.id, 'hello')).toBe('sent')
  // a path that is not absolute begins where the program runs
  expect(await fleet.runProgram([['clients']], { linkDir: './meeting point' })).toEqual([
    { value: { items: [guest.id], next: null } },
  ])
  expect(existsSync(join(project.dir, 'gates/.shiftwork/gate.js/links'))).toBe(false)
  guest.close()
})

it('a state directory of any depth will do', async () => {
  const directory = `${'deep/'.repeat(20)}${'ü'.repeat(60)}`
  const fleet = await GatewayFleet.start({ project: { directory } })
  const { project } = fleet
  expect(Buffer.byteLength(join(project.stateDir, 'links', 'x.sock'))).toBeGreaterThan(200)
  const guest = await fleet.come()
  for (const caller of [fleet.web, fleet.program, fleet.business(guest)])
    expect(await ask(caller, 'sendTo', guest.id, caller.name)).toBe('sent')
  // what a killed gateway leaves there is swept away by the next one
  const links = join(project.stateDir, 'links')
  const [old = 0] = await project.pids('gateway')
  const left = readdirSync(links)
  const ages = (): number[] => left.map((name) => Date.now() - statSync(join(links, name)).mtimeMs)
  await expect.poll(() => Math.min(...ages()), { timeout: 20_000 }).toBeGreaterThan(2_000)
  await kill(project, old)
  await expect.poll(() => readdirSync(links).filter((name) => left.includes(name)).length, { timeout: 20_000 }).toBe(1)
  expect((await project.shiftwork('stop')).code).toBe(0)
  expect(readdirSync(links)).toEqual([])
})

it('gateways of every protocol serve the clients of one group of business workers', async () => {
  const schemes = ['text', 'tcp', 'frame', 'websocket', 'text+tls', 'wss'] as const
  const gateways = schemes
    .map((scheme) => {
      const tls = /tls|wss/.test(scheme)
        ? `, tls: { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }`
        : ''
      const host = scheme === 'text' ? '[::1]' : '127.0.0.1'
      return `new Gateway('${scheme}://${host}:0', { name: '${scheme.replace('+', '-')}'${tls} })`
    })
    .join('\n')
  const project = Project.create({ ...GatewayFleet.files({ gateways }) })
  makeCertificate(project)
  await project.start()
  const fleet = new GatewayFleet(project, { gateway: await project.port('text'), web: await project.port('web') })
  const look = '{"ask":1,"on":"look"}'
  const spoken: Record<string, string> = {}
  for (const scheme of schemes) {
    const port = await project.port(scheme.replace('+', '-'))
    const host = scheme === 'text' ? '::1' : '127.0.0.1'
    spoken[scheme] = /websocket|wss/.test(scheme)
      ? await overWebSocket(`${scheme === 'wss' ? 'wss' : 'ws'}://${host}:${port}/path?query`, look)
      : await overBytes(scheme, { host, port }, look)
  }
  for (const scheme of schemes) {
    const { after } = JSON.parse((spoken[scheme] as string).replace(/^answer 1 /, '')) as {
      after: Record<string, unknown>
    }
    expect([scheme, after['protocol'], after['remoteAddress']]).toEqual([
      scheme,
      scheme,
      scheme === 'text' ? '::1' : '127.0.0.1',
    ])
  }
  await expect.poll(() => fleet.web.try('count'), { timeout: 20_000 }).toEqual({ value: 0 })
})

/** What comes after the greeting. */
async function overWebSocket(url: string, text: string): Promise<string> {
  const socket = new WebSocket(url, { rejectUnauthorized: false })
  const messages: string[] = []
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (data: Buffer) => {
      messages.push(data.toString())
      if (messages.length === 1) socket.send(text)
      else resolve()
    })
  })
  socket.close()
  return messages[1] as string
}

async function overBytes(scheme: string, place: { host: string; port: number }, text: string): Promise<string> {
  const socket = scheme.endsWith('tls') ? connectTls({ ...place, rejectUnauthorized: false }) : connect(place)
  const isFrame = scheme === 'frame'
  const head = Buffer.alloc(isFrame ? 4 : 0)
  if (isFrame) head.writeUInt32BE(4 + text.length)
  let heard = ''
  let isAsked = false
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
      if (!isAsked && heard.includes('hello ')) {
        isAsked = true
        socket.write(Buffer.concat([head, Buffer.from(text + (scheme.startsWith('text') ? '\n' : ''))]))
      }
      if (/answer 1 .*\}\}/.test(heard)) resolve()
    })
  })
  socket.destroy()
  return /answer 1 .*\}\}/.exec(heard)?.[0] ?? ''
}

it('sockets of gateways are for their user alone', async () => {
  const fleet = await GatewayFleet.start({ gateways: "new Gateway('text://127.0.0.1:0', { name: 'gateway' })" })
  const links = join(fleet.project.stateDir, 'links')
  const sockets = readdirSync(links)
  expect(sockets).toHaveLength(1)
  expect((statSync(links).mode & 0o777).toString(8)).toBe('700')
  expect((statSync(join(links, sockets[0] as string)).mode & 0o777).toString(8)).toBe('600')
})

it.skipIf(!canBeNobody || process.getuid?.() !== 0)(
  'another user has no gateways there, and is let into none',
  async () => {
    const fleet = await GatewayFleet.start({ gateways: "new Gateway('text://127.0.0.1:0', { name: 'gateway' })" })
    const { project } = fleet
    const links = join(project.stateDir, 'links')
    const [socket = ''] = readdirSync(links)
    const setpriv = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath]
    const tryToConnect = `require('net').connect(${JSON.stringify(join(links, socket))})
    .on('connect', () => console.log('connected')).on('error', (error) => console.log(error.code))`
    openToAll(project, 'open')
    await asNobody(project, ['version'])
    const result = await project.exec('/usr/bin/setpriv', [...setpriv, '-e', tryToConnect])
    expect(result.stdout).toBe('EACCES\n')
    const options = { startFile: project.startFile }
    const program = await project.exec('/usr/bin/setpriv', [
      ...setpriv,
      'program.js',
      JSON.stringify({ options, commands: [['count']] }),
    ])
    expect(JSON.parse(program.stdout)).toMatchObject({
      error: 'ERR_STATE_DIR',
      message: expect.stringContaining("are another user's"),
    })
  },
)

it.skipIf(!canBeNobody || process.getuid?.() !== 0)(
  'gateways of another user need a linkDir of theirs, and are told so',
  async () => {
    const start = (links: { linkDir?: string }, business = {}): string => {
      const options = JSON.stringify({ name: 'gateway', user: 'nobody', ...links })
      const gateways = `new Gateway('text://127.0.0.1:0', ${options})`
      return gatewayStart({ gateways, business: { ...business, ...links }, client: links })
    }
    const project = Project.create({ ...GatewayFleet.files(), 'start.js': start({}) })
    await asNobody(project, ['version'])
    const result = await project.through('js', 'start')
    expect(result.code).toBe(1)
    expect(result.stderr + result.stdout).toMatch(
      /Cannot make the directory .*links, where gateways and business workers meet[\s\S]*Give all of them a linkDir that their user may write to/,
    )
    const linkDir = openToAll(project, 'meet')
    // what the business workers note
    writeFileSync(join(project.dir, 'events.log'), '')
    chmodSync(join(project.dir, 'events.log'), 0o666)
    project.write('start.js', start({ linkDir }, { user: 'nobody' }))
    await project.start()
    const fleet = new GatewayFleet(project, { gateway: await project.port('gateway'), web: await project.port('web') })
    const guest = await fleet.come()
    expect(await ask(fleet.web, 'sendTo', guest.id, 'hello')).toBe('sent')
    guest.close()
  },
)

it('a protocol of your own behind a gateway says text or bytes: anything else costs its client the connection, and a value that it cannot encode, too', async () => {
  const codec = `{
    input: (buffer) => buffer.indexOf(10) + 1,
    decode: (bytes) => (bytes[0] === 33 ? { object: true } : bytes.toString().trim()),
    encode: (data) => { if (String(data).includes('never')) throw new Error('I never say that'); return data + '\\n' },
  }`
  const gateways = `new Gateway('tcp://127.0.0.1:0', { name: 'gateway', protocol: ${codec} })`
  const fleet = await GatewayFleet.start({ gateways })
  const [first, second, third] = [await fleet.come(), await fleet.come(), await fleet.come()]
  first.lines.send('!')
  await first.lines.closed()
  expect(await ask(fleet.web, 'sendTo', second.id, 'never')).toBe('gone')
  await second.lines.closed()
  expect(await ask(fleet.web, 'sendToAll', 'hello')).toEqual({ sent: 1, buffered: 0, full: 0, missing: [] })
  expect(await third.heard()).toEqual(['hello'])
  expect(fleet.output).toContain('Behind a gateway a protocol decodes to text or bytes')
})

it('a GatewayClient that was disconnected says so; one in a gateway process finds its own gateway, too', async () => {
  const gateways = `
    const gateway = new Gateway('text://127.0.0.1:0', { name: 'gateway' })
    gateway.onWorkerStart = () => {
      const gateways = new GatewayClient()
      setInterval(async () => console.log('counted ' + await gateways.count().catch(String)), 100).unref()
    }`
  const fleet = await GatewayFleet.start({ gateways })
  const guest = await fleet.come()
  await expect.poll(() => fleet.output, { timeout: 20_000 }).toContain('counted 1')
  fleet.project.write(
    'leaving.js',
    `
import { GatewayClient } from 'shiftwork/gateway'
const gateways = new GatewayClient({ startFile: 'start.js' })
console.log(await gateways.count())
const last = gateways.sendToAll('last words')
await Promise.resolve()
gateways.disconnect()
console.log(JSON.stringify(await last))
for (const command of ['count', 'clients', 'uids']) await gateways[command]().catch((error) => console.log(error.code))
await gateways.sendTo('${guest.id}', 'x').catch((error) => console.log(error.message))
`,
  )
  const { code, stdout, stderr } = await fleet.project.exec(process.execPath, ['leaving.js'])
  expect({ code, stderr, lines: stdout.trim().split('\n') }).toEqual({
    code: 0,
    stderr: '',
    lines: [
      '1',
      '{"sent":1,"buffered":0,"full":0,"missing":[]}',
      ...Array.from({ length: 3 }, () => 'ERR_CONNECTION_CLOSED'),
      'The links to gateways were closed: nothing is sent',
    ],
  })
  expect(await guest.heard()).toEqual(['last words'])
})
