/** A business worker that leaves, for whatever reason: what its gateways are told, and whether it waits for them. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { BusinessWorker } from '../../../src/gateway/business-worker.ts'
import type { StopReason } from '../../../src/index.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { FakeGateway } from './fake-gateway.ts'

async function serve(): Promise<{ stop: (reason: StopReason) => Promise<unknown>; gateway: FakeGateway }> {
  const linkDir = temporaryDirectory()
  const gateway = await FakeGateway.open(linkDir)
  onTestFinished(() => gateway.die())
  const { worker } = Object.assign(new BusinessWorker({ linkDir }), { onMessage: () => undefined })
  await worker.onWorkerStart?.(worker)
  void worker.onWorkerServing?.(worker)
  await gateway.until('serve')
  return { gateway, stop: async (reason) => worker.onWorkerStop?.(worker, reason) }
}

it.each(['stop', 'reload', 'recycle', 'scale', 'cancelled'] as const)('%s: it leaves at once', async (reason) => {
  const { gateway, stop } = await serve()
  void stop(reason)
  await gateway.until('leave')
  expect(gateway.said.at(-1)).toEqual({ type: 'leave' })
})

it('crash: it leaves at once, and another one comes', async () => {
  const { gateway, stop } = await serve()
  void stop('crash')
  await gateway.until('leave')
  expect(gateway.said.at(-1)).toEqual({ type: 'leave', isFollowed: true })
})

it('orphaned: it leaves behind its gateways', async () => {
  const { gateway, stop } = await serve()
  const stopped = stop('orphaned')
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(gateway.said.map(({ type }) => type)).toEqual(['hello', 'serve'])
  gateway.die()
  await stopped
})
