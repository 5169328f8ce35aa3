/** What is known of the broker by a process that stood still while it asked. */
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import type { Broker } from '../../../../src/gateway/bus/broker.ts'
import { Uplink, type UplinkOptions } from '../../../../src/gateway/bus/uplink.ts'

const AHEAD_MS = 1_000_000
const BEAT_EVERY_MS = 2_000

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))

afterEach(() => {
  vi.useRealTimers()
})

async function open(probe: Broker['probe'], beat: UplinkOptions['beat']): Promise<Uplink> {
  const uplink = new Uplink({
    name: 'broker',
    open: async () => ({ probe, close: () => undefined }) as unknown as Broker,
    beat,
    onLost: () => undefined,
  })
  onTestFinished(() => uplink.close())
  await uplink.ready()
  return uplink
}

const brokerNow = (): number => performance.now() + AHEAD_MS

/** What is to come comes, the time aside. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await turn()
}

it('what is sent, and who is there, is told by the right time', async () => {
  let stallMs = 0
  const probe = async (): Promise<number> => {
    const told = brokerNow()
    vi.advanceTimersByTime(stallMs)
    return told
  }
  const errors: number[] = []
  const uplink = await open(probe, async (_, told) => void errors.push(Math.round(told - brokerNow())))
  stallMs = 3_000
  vi.advanceTimersByTime(BEAT_EVERY_MS)
  await settle()
  expect([...errors, Math.round(uplink.brokerNow - brokerNow())]).toEqual([0, 0, 0])
})

it('what it asked for before it stood still is asked for again', async () => {
  let beats = 0
  let answer = (): void => undefined
  const beat = (): Promise<void> => {
    beats++
    return beats === 2 ? new Promise((resolve) => (answer = resolve)) : Promise.resolve()
  }
  const uplink = await open(async () => brokerNow(), beat)
  await uplink.ready()
  expect(beats).toBe(1)
  vi.advanceTimersByTime(BEAT_EVERY_MS)
  await settle()
  vi.advanceTimersByTime(10_000)
  const ready = uplink.ready()
  answer()
  await ready
  expect([beats, uplink.isStale]).toEqual([3, false])
})
