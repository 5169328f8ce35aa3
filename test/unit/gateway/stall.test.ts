/**
 * A process that stood still, and goes on when an answer has come and its time is over: timers are called before sockets
 * are read, and the answer counts all the same.
 */
import { EventEmitter } from 'node:events'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { parseBusAddress } from '../../../src/gateway/bus/address.ts'
import { openRedis } from '../../../src/gateway/bus/redis.ts'
import { within } from '../../../src/gateway/bus/within.ts'
import { PeerLink } from '../../../src/gateway/peer/link.ts'
import { Links } from '../../../src/gateway/peer/links.ts'
import { Places } from '../../../src/gateway/peer/places.ts'
import { LocalReach } from '../../../src/gateway/peer/reach.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { FakeGateway } from './fake-gateway.ts'

const INTRODUCTION = { role: 'client', name: '' } as const

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
  // sockets have clocks of their own
  vi.spyOn(Socket.prototype, 'setTimeout').mockImplementation(function (this: Socket, ms, callback) {
    if (callback) this.once('timeout', callback)
    const timer = ms > 0 ? setTimeout(() => this.emit('timeout'), ms) : undefined
    this.once('close', () => clearTimeout(timer))
    return this
  })
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** All that is due in so long is called, and nothing is read. */
function stall(ms: number): void {
  vi.advanceTimersByTime(ms)
}

async function openLink(): Promise<{ link: PeerLink; gateway: FakeGateway; closed: () => number }> {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  const onClosed = vi.fn()
  const link = await PeerLink.open(join(linkDir, 'fake.sock'), INTRODUCTION, { onRecord: () => undefined, onClosed })
  onTestFinished(() => link.destroy())
  return { link, gateway, closed: () => onClosed.mock.calls.length }
}

/** A question to a gateway, and its answer on the way: when `comes` has settled, it lies in the socket, and is not read. */
async function question(): Promise<{ answer: Promise<string>; comes: () => Promise<void> }> {
  const { link, gateway } = await openLink()
  const comes = async (): Promise<void> => {
    await gateway.until('ping')
    gateway.say({ type: 'pong' })
    await turn()
  }
  return { answer: link.confirm().then(() => 'answered'), comes }
}

it('what a gateway has answered is taken', async () => {
  const { link, gateway } = await openLink()
  const sent = link.send('fake.1', 'hello', 1_000)
  await gateway.until('send')
  gateway.say({ type: 'sent', request: 1, delivery: 'sent' })
  await turn()
  stall(10_000)
  expect(await sent).toBe('sent')
})

it('and what it has not answered by then is late', async () => {
  const { link, gateway } = await openLink()
  const sent = link.send('fake.1', 'hello', 1_000)
  await gateway.until('send')
  stall(1_100)
  await expect(sent).rejects.toMatchObject({ code: 'ERR_NO_ANSWER' })
})

it('what is awaited within a time is taken', async () => {
  const { answer, comes } = await question()
  const answered = within(answer, 1_000, { reason: 'late' })
  await comes()
  stall(10_000)
  expect(await answered).toBe('answered')
  const unanswered = within(new Promise(() => undefined), 1_000, { reason: 'late' })
  stall(10_000)
  await expect(unanswered).rejects.toThrow('late')
})

it('a gateway that has taken the link, and has said welcome, is linked', async () => {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  const hooks = { onRecord: () => undefined, onClosed: () => undefined }
  const opening = PeerLink.open(join(linkDir, 'fake.sock'), INTRODUCTION, hooks)
  stall(10_000)
  await gateway.until('hello')
  await turn()
  stall(10_000)
  const link = await opening
  expect(link.isOpen).toBe(true)
  link.destroy()
})

it('one that says nothing is given up', async () => {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  vi.spyOn(gateway, 'say').mockImplementation(() => undefined)
  const hooks = { onRecord: () => undefined, onClosed: () => undefined }
  const opening = PeerLink.open(join(linkDir, 'fake.sock'), INTRODUCTION, hooks)
  await gateway.until('hello')
  stall(5_000)
  await expect(opening).rejects.toMatchObject({ code: 'ERR_NO_ANSWER' })
})

it('a gateway that has given a sign of life is not taken for frozen', async () => {
  const { link, gateway, closed } = await openLink()
  gateway.say({ type: 'ping' })
  await turn()
  stall(60_000)
  for (let turns = 0; turns < 20; turns++) await turn()
  expect([link.isOpen, closed()]).toEqual([true, 0])
  stall(60_000)
  for (let turns = 0; turns < 20; turns++) await turn()
  expect([link.isOpen, closed()]).toEqual([false, 1])
})

it('a gateway that was being looked for is found', async () => {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  const links = new Links({
    places: new Places({ linkDir }),
    introduction: INTRODUCTION,
    onOpened: () => undefined,
    onRecord: () => undefined,
    onClosed: () => undefined,
    onLost: () => undefined,
    onDead: () => undefined,
  })
  onTestFinished(() => links.close())
  const found = Promise.resolve(new LocalReach(links).find('fake', 1_000))
  await gateway.until('hello')
  await turn()
  stall(900)
  expect(await found).toMatchObject({ gateway: 'fake' })
})

it('a Redis that has answered is open', async () => {
  const { answer, comes } = await question()
  let connecting = 0
  const createClient = (): unknown => {
    const client = Object.assign(new EventEmitter(), {
      isOpen: true,
      destroyed: false,
      unref: () => undefined,
      subscribe: async () => undefined,
      destroy: () => {
        client.destroyed = true
      },
      connect: async () => {
        client.emit('connect')
        connecting++
        await answer
        if (client.destroyed) throw new Error('destroyed')
      },
    })
    return client
  }
  vi.doMock('redis', () => ({ createClient }))
  onTestFinished(() => void vi.doUnmock('redis'))
  const options = { channels: [], list: '', onMessage: () => undefined, onLost: () => undefined }
  const opening = openRedis({ ...options, address: parseBusAddress('redis://127.0.0.1') })
  while (connecting < 2) await turn()
  await comes()
  stall(10_000)
  const broker = await opening
  broker.close()
})
