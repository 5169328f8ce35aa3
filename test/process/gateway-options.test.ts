/** Gateways that cannot be: told in one sentence, before anything runs, and without harm to what does. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ask, GatewayFleet, gatewayStart } from '../helpers/gatewayfleet.ts'
import { Project } from '../helpers/project.ts'

const CHOOSE = 'Choose websocket://, wss://, tcp://, tls://, text:// or frame://, for HTTP and UDP a Worker.'

const WRONG: Record<string, [sentence: string, hint: string]> = {
  "new Gateway('http://127.0.0.1:0')": [
    'Gateway: it listens on http://127.0.0.1:0, and its clients must stay connected',
    CHOOSE,
  ],
  "new Gateway('https://127.0.0.1:0', { tls: { key: 'k', cert: 'c' } })": [
    'Gateway: it listens on https://127.0.0.1:0, and its clients must stay connected',
    CHOOSE,
  ],
  "new Gateway('http+unix:///tmp/never.sock')": [
    'Gateway: it listens on http+unix:///tmp/never.sock, and its clients must stay connected',
    CHOOSE,
  ],
  "new Gateway('udp://127.0.0.1:0')": [
    'Gateway: it listens on udp://127.0.0.1:0, and its clients must stay connected',
    CHOOSE,
  ],
  'new Gateway()': ['Gateway: it listens nowhere, and its clients must stay connected', CHOOSE],
  "new Gateway({ name: 'gateway' })": ['Gateway: it listens nowhere, and its clients must stay connected', CHOOSE],
  "new Gateway('nonsense://127.0.0.1:0')": [
    'Cannot listen on "nonsense://127.0.0.1:0": "nonsense" is no known protocol',
    'Known protocols: ',
  ],
  "new Gateway('text://127.0.0.1:0', { queue: { overflow: 'panic' } })": [
    'Gateway: queue.overflow is "panic"',
    'It must be wait, drop, close.',
  ],
  "new Gateway('text://127.0.0.1:0', { queue: { maxMessage: 3 } })": [
    'Gateway: queue has an unknown member "maxMessage"',
    'Known members: ',
  ],
  "new Gateway('text://127.0.0.1:0').count = 2": [
    'Gateway: count is no property of it',
    "Options are given to the constructor: new Gateway('websocket://…', { name, count, … }).",
  ],
  "new Gateway('text://127.0.0.1:0').onConnect = () => {}": [
    'Gateway: onConnect is no hook of it',
    'Its hooks are onWorkerStart, onWorkerStop, onWebSocketConnect. What clients say is handled by a BusinessWorker.',
  ],
  "new BusinessWorker().name = 'business'": [
    'BusinessWorker: name is no property of it',
    'Options are given to the constructor: new BusinessWorker({ name, count, … }).',
  ],
  'new BusinessWorker().onmessage = () => {}': [
    'BusinessWorker: onmessage is no hook of it',
    'Others stand on its worker: business.worker.onLeader.',
  ],
  "new Gateway('text://127.0.0.1:0', { queue: 7 })": ['Gateway: queue is 7', 'It must be an object.'],
  "new Gateway('text://127.0.0.1:0', { delivery: 'never' })": [
    'Gateway: delivery is "never"',
    'It must be at-least-once or at-most-once.',
  ],
  "new Gateway('text://127.0.0.1:0', { maxSessionBytes: 0 })": [
    'Gateway: maxSessionBytes is 0',
    'It must be a whole number above 0.',
  ],
  "new Gateway('text://127.0.0.1:0', { maxSessionBytes: 5e6 })": [
    'Gateway: maxSessionBytes is 5000000',
    'It must be at most 4194304.',
  ],
  "new Gateway('text://127.0.0.1:0', { maxMessageBytes: 33 * 1024 * 1024 })": [
    'Gateway: maxMessageBytes is 34603008',
    'It must be at most 33554432 behind a gateway.',
  ],
  "new Gateway('text://127.0.0.1:0', { linkDir: 7 })": ['Gateway: linkDir is 7', 'It must be the path of a directory.'],
  "new Gateway('text://127.0.0.1:0', { name: 'gateway', cont: 2 })": [
    'Worker "gateway" has an unknown option "cont"',
    'Did you mean "count"?',
  ],
  "new BusinessWorker({ linkDir: '' })": ['BusinessWorker: linkDir is ""', 'It must be the path of a directory.'],
  'new BusinessWorker({ deadlineMs: -1 })': [
    'BusinessWorker: deadlineMs is -1',
    'It must be a whole number from 1 to 2147483647.',
  ],
  'new GatewayClient()': [
    'Outside a worker a GatewayClient does not know where the gateways are',
    "Make it inside onWorkerStart, or say it: new GatewayClient({ startFile: './start.ts' }).",
  ],
  'new GatewayClient({ startFile: import.meta.filename, deadlineMs: 0.5 })': [
    'GatewayClient: deadlineMs is 0.5',
    'It must be a whole number from 1 to 2147483647.',
  ],
}

function start(line: string): string {
  return `
import { Worker } from 'shiftwork'
import { BusinessWorker, Gateway, GatewayClient } from 'shiftwork/gateway'
${line}
Worker.runAll()
`
}

it.each(Object.entries(WRONG))('%s', async (line, [sentence, hint]) => {
  const project = Project.create({ 'start.js': start(line) })
  for (const words of [['start'], ['start', '-d']]) {
    const { code, stdout, stderr } = await project.through('js', ...words)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(sentence)
    expect(stderr).toContain(hint)
    // a client is made where the code stands, and so is its error
    if (!line.includes('GatewayClient')) expect(stderr).not.toMatch(/^\s+at /m)
  }
})

it('a reload to wrong options is rejected, and clients stay', async () => {
  const fleet = await GatewayFleet.start()
  const guest = await fleet.come()
  const { project } = fleet
  project.write(
    'start.js',
    gatewayStart({ gateways: "new Gateway('text://127.0.0.1:0', { name: 'gateway', count: 2, delivery: 'never' })" }),
  )
  const { code, summary } = await project.reload()
  expect(code).toBe(5)
  expect(summary.error?.message).toBe('Gateway: delivery is "never"')
  expect(await ask(fleet.web, 'sendTo', guest.id, 'still there')).toBe('sent')
  expect(await guest.heard()).toEqual(['still there'])
})

it('without a gateway, commands say so', async () => {
  const project = Project.create(GatewayFleet.files({ gateways: '' }))
  await project.start()
  const fleet = new GatewayFleet(project, { gateway: 0, web: await project.port('web') })
  const none = {
    error: 'ERR_NOT_RUNNING',
    message: 'There is no gateway',
    hint: `Start a Gateway, or look at linkDir: there is none in ${join(project.stateDir, 'links')}.`,
  }
  for (const caller of [fleet.web, fleet.program]) {
    for (const [command, ...args] of [
      ['sendToAll', 'x'],
      ['sendToUid', 'anna', 'x'],
      ['sendToGroup', 'room', 'x'],
      ['count'],
      ['clients'],
      ['uids'],
      ['groups'],
      ['dissolve', 'room'],
      ['isUidOnline', 'anna'],
    ])
      expect(await caller.try(command as string, ...args)).toEqual(none)
    // who was a client of a gateway that is gone is none any more
    expect(await caller.try('sendTo', 'some.client', 'x')).toEqual({ value: 'gone' })
    expect(await caller.try('join', 'some.client', 'room')).toEqual({ value: false })
  }
})

it('a program that looks for gateways in the wrong place is told so by every command, and where that was', async () => {
  const project = Project.create(GatewayFleet.files())
  const fleet = new GatewayFleet(project, { gateway: 0, web: 0 })
  const commands = [
    ['sendTo', 'some.client', 'x'],
    ['isOnline', 'some.client'],
    ['join', 'some.client', 'room'],
    ['sendToAll', 'x'],
    ['count'],
  ]
  const outcomes = await fleet.runProgram(commands, { startFile: join(project.dir, 'no such.js') })
  const links = join(project.dir, '.shiftwork/no such.js/links')
  const hint = `Start a Gateway, or look at linkDir: there is none in ${links}.`
  expect(outcomes).toEqual(commands.map(() => ({ error: 'ERR_NOT_RUNNING', message: 'There is no gateway', hint })))
})
