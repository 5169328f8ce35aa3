import { expect, it, vi } from 'vitest'
import { parseBusAddress } from '../../../../src/gateway/bus/address.ts'
import { openRedis } from '../../../../src/gateway/bus/redis.ts'

it('where the package redis is missing, that is told, and what to do', async () => {
  vi.doMock('redis', () => {
    throw new Error("Cannot find package 'redis'")
  })
  const options = { channels: [], list: '', onMessage: () => undefined, onLost: () => undefined }
  const opening = openRedis({ ...options, address: parseBusAddress('redis://127.0.0.1') })
  await expect(opening).rejects.toMatchObject({ code: 'ERR_OPTION', hint: 'Run: npm install redis@5' })
})
