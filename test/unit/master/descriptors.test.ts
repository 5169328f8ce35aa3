/** The master tells once that it has no descriptors left, and once that it has some again; with a clock of the test's own. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { watchDescriptors } from '../../../src/master/descriptors.ts'

const SECOND = 1_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A watch on descriptors of which `use.used` are in use; full at 80 of 100, room at 70. */
function watched() {
  const use = { used: 20, limit: 100 }
  const lines: string[] = []
  const log = {
    warn: (text: string) => void lines.push(`warn ${text}`),
    info: (text: string) => void lines.push(`info ${text}`),
  }
  const watch = watchDescriptors(log, { fullAt: 80, roomAt: 70, look: () => ({ ...use }) })
  const after = (used: number): readonly string[] => {
    use.used = used
    vi.advanceTimersByTime(SECOND)
    return watch.warnings()
  }
  return { watch, lines, after }
}

const sentence = (used: number): string =>
  `the master is out of file descriptors (${used} of 100): it may fail to start a worker, or to hear a command`

it('says nothing with one less than too many', () => {
  const { lines, after } = watched()
  expect(after(79)).toEqual([])
  expect(lines).toEqual([])
})

it('says it once, with the number of that moment, until there is room: one less than too many is none', () => {
  const { lines, after } = watched()
  expect(after(80)).toEqual([sentence(80)])
  for (const used of [99, 79, 71, 80, 100]) expect(after(used)).toEqual([sentence(80)])
  expect(lines).toEqual([`warn ${sentence(80)}`])
  expect(after(70)).toEqual([])
  expect(after(79)).toEqual([])
  expect(lines.slice(1)).toEqual(['info the master has file descriptors again (70 of 100 in use)'])
  expect(after(81)).toEqual([sentence(81)])
})

it('looks no more when it is closed', () => {
  const { watch, lines, after } = watched()
  watch.close()
  expect(after(100)).toEqual([])
  expect(lines).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

it('watches nothing where the limit is not known', () => {
  const nothing = (): never => expect.fail('nothing is to be said')
  const watch = watchDescriptors({ warn: nothing, info: nothing }, null)
  vi.advanceTimersByTime(10 * SECOND)
  expect(watch.warnings()).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
  watch.close()
})
