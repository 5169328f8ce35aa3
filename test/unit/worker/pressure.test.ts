/**
 * What a worker does as its descriptors run out and come back: with a real server, a clock of the
 * test's own, and descriptors that are said to be in use.
 */
import { once } from 'node:events'
import { createServer, type Server, Socket } from 'node:net'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import type { DescriptorUse } from '../../../src/os/descriptors.ts'
import { Pressure, type PressureOptions } from '../../../src/worker/pressure.ts'

// how it waits is tested on its own
vi.mock('../../../src/patience.ts', () => ({
  waitFor: (ms: number, giveUp: () => void) => {
    const timer = setTimeout(giveUp, ms)
    return () => clearTimeout(timer)
  },
}))

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

const LOOK_MS = 1_000
const FULL_LOOK_MS = 250
const NEWS_MS = 30_000

class Stage {
  readonly server: Server = createServer()
  /** What it has done, in order. */
  readonly did: string[] = []
  use: DescriptorUse = { used: 10, limit: 100 }
  readonly traffic: PressureOptions['traffic'] = {
    onConnection: null,
    endConnections: () => void this.did.push('ends connections'),
    keepConnections: () => void this.did.push('keeps connections'),
    closeUnasked: (_, { atMost, afterMs }) => void this.did.push(`closes ${atMost} after ${afterMs}`),
  }
  pressure!: Pressure

  static async open(): Promise<Stage> {
    const stage = new Stage()
    stage.server.listen(0, '127.0.0.1')
    await once(stage.server, 'listening')
    stage.pressure = new Pressure({
      descriptors: {
        fullAt: 80,
        roomAt: 70,
        look: () => stage.use,
        useBy: (descriptor) => ({ used: descriptor + 1, limit: 100 }),
      },
      server: stage.server,
      backlog: 1,
      traffic: stage.traffic,
      report: ({ type, use, isNews }) => void stage.did.push(`${type} ${use.used}${isNews ? '' : ', no news'}`),
    })
    onTestFinished(() => {
      stage.pressure.stop()
      stage.server.close()
    })
    return stage
  }

  /** What it does in so many milliseconds with so many descriptors in use. */
  in(ms: number, used = this.use.used): string[] {
    this.use = { used, limit: 100 }
    vi.advanceTimersByTime(ms)
    return this.did.splice(0)
  }

  accept(descriptor: number): void {
    this.traffic.onConnection?.(Object.assign(new Socket(), { _handle: { fd: descriptor } }))
  }

  /** It still is a server that listens, for its owner; whether anybody can connect. */
  get isPaused(): boolean {
    expect(this.server.listening).toBe(true)
    return !('onconnection' in ((this.server as Server & { _handle: object })._handle ?? {}))
  }

  /** A handle as the master would send it: that of another server, which is never opened for long. */
  async handle(): Promise<object> {
    const other = createServer()
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { _handle: handle } = other as Server & { _handle: object }
    return handle
  }
}

it('says and does nothing while there is room', async () => {
  const stage = await Stage.open()
  stage.accept(79)
  expect(stage.in(10 * LOOK_MS, 79)).toEqual([])
  expect(stage.isPaused).toBe(false)
})

it('is full inside the accept of the connection that got the first number of the reserve', async () => {
  const stage = await Stage.open()
  stage.accept(80)
  expect(stage.isPaused).toBe(true)
  expect(stage.did).toEqual(['ends connections', 'full 81'])
  // what was accepted in the same breath changes nothing
  stage.accept(81)
  expect(stage.did).toHaveLength(2)
})

it('is full at the next look when user code has taken them', async () => {
  const stage = await Stage.open()
  expect(stage.in(LOOK_MS - 1, 80)).toEqual([])
  expect(stage.in(1)).toEqual(['ends connections', 'full 80'])
  expect(stage.isPaused).toBe(true)
})

it.each(['EMFILE', 'ENFILE'])(
  'is full when an accept fails for want of one (%s), and not for anything else',
  async (code) => {
    const stage = await Stage.open()
    stage.server.emit('error', Object.assign(new Error('accept'), { code: 'ECONNABORTED' }))
    expect(stage.did).toEqual([])
    stage.server.emit('error', Object.assign(new Error('accept'), { code }))
    expect(stage.did).toEqual(['ends connections', 'full 10'])
  },
)

it('while it is full it closes as many of the unasked as it needs places, four times a second, and then asks once', async () => {
  const stage = await Stage.open()
  stage.accept(80)
  stage.did.splice(0)
  expect(stage.in(FULL_LOOK_MS, 85)).toEqual(['closes 15 after 5000'])
  expect(stage.in(2 * FULL_LOOK_MS, 71)).toEqual(['closes 1 after 5000', 'closes 1 after 5000'])
  expect(stage.in(FULL_LOOK_MS, 70)).toEqual(['roomy 70'])
  expect(stage.in(1_500)).toEqual([])
  expect(stage.isPaused).toBe(true)
})

it('listens again with the handle that it asked for, and connections are kept again', async () => {
  const stage = await Stage.open()
  stage.accept(80)
  stage.in(FULL_LOOK_MS, 70)
  await stage.pressure.resume(await stage.handle())
  expect(stage.did).toEqual(['keeps connections'])
  expect(stage.isPaused).toBe(false)
  // and may be full again
  stage.accept(80)
  expect(stage.did.at(-1)).toBe('full 81, no news')
})

it('asks again when the handle was lost on its way', async () => {
  const stage = await Stage.open()
  stage.accept(80)
  stage.in(FULL_LOOK_MS, 70)
  await stage.pressure.resume(undefined)
  expect(stage.in(FULL_LOOK_MS)).toEqual(['roomy 70'])
})

it('asks again when nothing comes at all', async () => {
  const stage = await Stage.open()
  stage.accept(80)
  expect(stage.in(FULL_LOOK_MS, 70).at(-1)).toBe('roomy 70')
  expect(stage.in(1_500)).toEqual([])
  expect(stage.in(1_000)).toEqual(['roomy 70'])
})

it('closes a handle that it has not asked for', async () => {
  const stage = await Stage.open()
  const handle = { close: vi.fn() }
  await stage.pressure.resume(handle)
  expect(handle.close).toHaveBeenCalledOnce()
  stage.accept(80)
  await stage.pressure.resume(handle)
  expect(handle.close).toHaveBeenCalledTimes(2)
  expect(stage.isPaused).toBe(true)
})

it('is news once in half a minute', async () => {
  const stage = await Stage.open()
  const told: (string | undefined)[] = []
  for (const ms of [0, NEWS_MS - FULL_LOOK_MS - 1, 1]) {
    stage.in(ms, 20)
    stage.accept(80)
    told.push(stage.did.at(-1))
    told.push(stage.in(FULL_LOOK_MS, 20).at(-1))
    await stage.pressure.resume(await stage.handle())
  }
  // the second time comes just before the half minute is over
  expect(told).toEqual(['full 81', 'roomy 20', 'full 81, no news', 'roomy 20, no news', 'full 81', 'roomy 20'])
})

it('does nothing any more when the worker drains', async () => {
  const stage = await Stage.open()
  stage.pressure.stop()
  expect(stage.traffic.onConnection).toBeNull()
  expect(stage.in(10 * LOOK_MS, 99)).toEqual([])
  const handle = { close: vi.fn() }
  await stage.pressure.resume(handle)
  expect(handle.close).toHaveBeenCalledOnce()
  expect(vi.getTimerCount()).toBe(0)
})
