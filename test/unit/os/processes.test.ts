/** Who a process is, where the process table is read with `ps`. */
import { expect, it, onTestFinished, vi } from 'vitest'

it('the start time by ps is the same in every time zone and language', async () => {
  const platform = Object.getOwnPropertyDescriptor(process, 'platform') ?? {}
  onTestFinished(() => {
    Object.defineProperty(process, 'platform', platform)
    vi.unstubAllEnvs()
    vi.resetModules()
  })
  Object.defineProperty(process, 'platform', { ...platform, value: 'darwin' })
  vi.resetModules()
  const { startTimeOf } = await import('../../../src/os/processes.ts')
  vi.stubEnv('TZ', 'Asia/Tokyo')
  const one = startTimeOf(process.pid)
  expect(one).toMatch(/\d\d:\d\d:\d\d/)
  vi.stubEnv('TZ', 'America/New_York')
  expect(startTimeOf(process.pid)).toBe(one)
})
