/** What a full disk has taken: counted, warned of, and told once there is room, in its place. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Losses, lostText } from '../../../src/master/losses.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

class Disk {
  readonly path = '/log'
  readonly lines: string[] = []
  why: string | null = null

  write(data: string | Uint8Array): string | null {
    if (this.why === null) this.lines.push(String(data))
    return this.why
  }
}

it('says what was lost before the next entry, and warns until then', () => {
  const disk = new Disk()
  const losses = new Losses(disk, lostText)
  losses.write('1')
  expect(losses.warnings()).toEqual([])
  disk.why = 'no space left on device'
  losses.write('2')
  expect(losses.warnings()).toEqual(['/log cannot be written: no space left on device (1 entry lost)'])
  losses.write('3')
  expect(losses.warnings()).toEqual(['/log cannot be written: no space left on device (2 entries lost)'])
  disk.why = null
  losses.write('4')
  expect(losses.warnings()).toEqual([])
  expect(disk.lines).toEqual(['1', '2 entries were lost: no space left on device', '4'])
  expect(vi.getTimerCount()).toBe(0)
})

it('says so without a next entry, as soon as there is room; each loss once', () => {
  const disk = new Disk()
  const losses = new Losses(disk, lostText)
  disk.why = 'input/output error'
  losses.write('1')
  vi.advanceTimersByTime(60_000)
  expect(losses.warnings()).toHaveLength(1)
  disk.why = null
  vi.advanceTimersByTime(1_000)
  expect(losses.warnings()).toEqual([])
  vi.advanceTimersByTime(60_000)
  expect(disk.lines).toEqual(['1 entry was lost: input/output error'])
  disk.why = 'no space left on device'
  losses.write('2')
  disk.why = null
  losses.write('3')
  expect(disk.lines.slice(1)).toEqual(['1 entry was lost: no space left on device', '3'])
  expect(vi.getTimerCount()).toBe(0)
})
