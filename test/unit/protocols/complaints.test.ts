/** What the log says of connections that fail, and how often. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { complain, complainSparsely } from '../../../src/protocols/complaints.ts'

const logged: string[] = []
beforeEach(() => {
  logged.length = 0
  vi.useFakeTimers()
  vi.spyOn(console, 'error').mockImplementation((line: string) => void logged.push(line))
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const owner = () => ({ protocol: 'text', worker: { name: 'chat', id: 3 } })
const START = `shiftwork: chat/3 (pid ${process.pid}): input of a text connection failed`

it('a flood is one line a second: the first, and the last with how many were between', () => {
  const flooded = owner()
  for (let count = 1; count <= 122; count++)
    complainSparsely(flooded, { what: 'input', error: new RangeError(`${count}`) }, 'line')
  expect(logged).toEqual([`${START}: RangeError: 1`])
  vi.advanceTimersByTime(1_000)
  expect(logged.slice(1)).toEqual([`${START} (and 120 more): RangeError: 122`])
  complainSparsely(flooded, { what: 'input', error: new RangeError('next') }, 'line')
  expect(logged).toHaveLength(2)
  vi.advanceTimersByTime(1_000)
  expect(logged.slice(2)).toEqual([`${START}: RangeError: next`])
  vi.advanceTimersByTime(5_000)
  expect(vi.getTimerCount()).toBe(0)
  complainSparsely(flooded, { what: 'input', error: new RangeError('later') }, 'line')
  expect(logged.slice(3)).toEqual([`${START}: RangeError: later`])
})

it('who floods one listener hides nothing of another, nor what handlers throw', () => {
  const [flooded, other] = [owner(), owner()]
  for (let count = 0; count < 10; count++) complainSparsely(flooded, { what: 'input', error: new Error('x') }, 'line')
  complainSparsely(other, { what: 'input', error: new Error('other') }, 'line')
  complain(flooded, { what: 'onMessage', error: new Error('ours') })
  expect(logged).toHaveLength(3)
  expect(logged[2]).toMatch(/onMessage of a text connection failed: Error: ours\n +at /)
})

it('the other side’s bytes begin no line of their own, and are not shown without end', () => {
  const error = new Error(`\u001b[31m${'x'.repeat(500)}\nshiftwork: web/0 (pid 1): forged`)
  complainSparsely(owner(), { what: 'input', error }, 'line')
  expect(logged[0]).toBe(`${START}: Error: ?[31m${'x'.repeat(288)}`)
})

it('where it is ours that fails, with its stack', () => {
  complainSparsely(owner(), { what: 'onMessage', error: new Error('ours') }, 'stack')
  expect(logged[0]).toMatch(/failed: Error: ours\n +at /)
})
