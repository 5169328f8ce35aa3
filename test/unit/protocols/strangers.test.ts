/** Properties of a Worker that nobody would read: which are refused, with what to write, and which stay the user's own. */
import { describe, expect, it } from 'vitest'
import { Worker } from '../../../src/index.ts'
import { checkProperties, checkStatics } from '../../../src/protocols/strangers.ts'

const run = (): void => undefined

function refusal(check: () => void): { message: string; hint: string | undefined } | null {
  try {
    check()
    return null
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string }
    return { message, hint }
  }
}

const worker = (properties: object) => refusal(() => checkProperties('chat', Object.assign(new Worker(), properties)))
const statics = (properties: object) => refusal(() => checkStatics({ onMasterStop: null, ...properties }))

describe('a worker', () => {
  it.each([
    ['onWebsocketConnect', 'onWebSocketConnect'],
    ['onBufferfull', 'onBufferFull'],
    ['onmessage', 'onMessage'],
    ['onMesage', 'onMessage'],
    ['onMessages', 'onMessage'],
    ['onColse', 'onClose'],
    ['onConnection', 'onConnect'],
    ['onOpen', 'onConnect'],
    ['onDisconnect', 'onClose'],
    ['onData', 'onMessage'],
    ['onReload', 'onWorkerReload'],
  ])('%s is refused: it is meant to be %s', (name, meant) => {
    expect(worker({ [name]: run })).toEqual({
      message: `Worker "chat" has an unknown hook "${name}"`,
      hint: `Did you mean "${meant}"? What is no hook needs another name.`,
    })
  })

  it('a hook of the master is refused', () => {
    expect(worker({ onWorkerExit: run })?.hint).toBe("It is the master's: Worker.onWorkerExit = …")
  })

  it.each<[string, unknown, RegExp]>([
    ['transport', 'ssl', /^The address says it: wss:/],
    ['reusePort', true, /^Leave it out/],
    ['processes', 4, /"count"/],
    ['maxSendBufferSize', 1_000_000, /"maxSendBufferBytes"/],
  ])('Workerman’s %s is refused', (name, value, hint) => {
    expect(worker({ [name]: value })).toEqual({
      message: `Worker "chat" has an unknown option "${name}"`,
      hint: expect.stringMatching(hint),
    })
  })

  it.each<[string, object]>([
    ['hooks', { onMessage: run, onCheck: run, onStatus: run, onWebSocketConnect: run, onClose: null }],
    ['what is no hook', { db: {}, uidConnections: {}, send: run, once: run, on: run, online: 5, only: run }],
    [
      'a hook of one’s own',
      { onJoin: run, onOrderPlaced: run, onTick: run, onHeader: run, onState: run, onBuffer: run },
    ],
    ['what is no function', { onmessage: null, onOpen: true }],
    ['another thing of the same name', { transport: { sendMail: run }, processes: new Map(), workers: [] }],
  ])('%s: stays the user’s own', (_, properties) => {
    expect(worker(properties)).toBeNull()
  })
})

it('no getter of the user’s is called', () => {
  const own = new Worker()
  const get = (): never => {
    throw new Error('not yet')
  }
  Object.defineProperty(own, 'db', { enumerable: true, get })
  expect(refusal(() => checkProperties('chat', own))).toBeNull()
})

describe('the class', () => {
  it.each<[string, unknown, string, RegExp]>([
    ['daemonize', true, 'setting', /start -d/],
    ['stopTimeout', 5, 'setting', /"stopTimeoutMs" of each Worker/],
    ['logFile', '/tmp/x', 'setting', /^Give it to runAll: Worker\.runAll\(\{ logFile \}\)\.$/],
    ['pidFile', '/tmp/x', 'setting', /stateDir/],
    ['onMasterReloads', run, 'hook', /"onMasterReload"/],
    ['onWorkerStart', run, 'hook', /^It is each worker's own: worker\.onWorkerStart = …$/],
    ['onmessage', run, 'hook', /^It is each worker's own: worker\.onMessage = …$/],
  ])('%s is refused', (name, value, kind, hint) => {
    expect(statics({ [name]: value })).toEqual({
      message: `The class Worker has ${kind === 'hook' ? 'an unknown hook' : 'no setting'} "${name}"`,
      hint: expect.stringMatching(hint),
    })
  })

  it('what else stands on it stays', () => {
    expect(statics({ db: {}, all: [], onWorkerExit: run, onMasterReload: run })).toBeNull()
    expect(refusal(() => checkStatics(Worker))).toBeNull()
  })
})
