/** What Ctrl-C ends, and what it does not. */
import { expect, it, onTestFinished, vi } from 'vitest'
import { FIRST_ENDS, SecondEnds } from '../../../src/cli/interrupts.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function listeners(): number[] {
  return SIGNALS.map((signal) => process.listenerCount(signal))
}

/** To the newest listener alone: what else listens in this process is none of ours. */
function send(signal: (typeof SIGNALS)[number]): void {
  process.listeners(signal).at(-1)?.(signal)
}

/** A clock that stands still until it is put forward. */
function clock(): { forward(ms: number): void } {
  let now = 1_000
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  onTestFinished(() => void vi.restoreAllMocks())
  return {
    forward: (ms) => {
      now += ms
    },
  }
}

it('a start is ended by the first', () => {
  const before = listeners()
  const giveUp = vi.fn()
  const unheed = FIRST_ENDS.heed(giveUp)
  send('SIGINT')
  expect(giveUp).toHaveBeenCalledOnce()
  unheed()
  expect(listeners()).toEqual(before)
})

it('a restart goes on through the first, the same once more under a loader, and the loss of its terminal', () => {
  const { forward } = clock()
  const before = listeners()
  const [say, giveUp] = [vi.fn(), vi.fn()]
  const interrupts = new SecondEnds(say)
  interrupts.heed(giveUp)
  for (let count = 0; count < 3; count++) {
    send('SIGHUP')
    forward(10_000)
  }
  send('SIGINT')
  forward(30)
  send('SIGINT')
  expect(giveUp).not.toHaveBeenCalled()
  expect(say).toHaveBeenCalledTimes(4)
  forward(470)
  send('SIGTERM')
  expect(giveUp).toHaveBeenCalledOnce()
  interrupts.end()
  expect(listeners()).toEqual(before)
})

it('what waits within ends first, and what waits around it when that is over', () => {
  const { forward } = clock()
  const [outer, inner] = [vi.fn(), vi.fn()]
  const interrupts = new SecondEnds(() => undefined)
  interrupts.heed(outer)
  const unheed = interrupts.heed(inner)
  send('SIGINT')
  forward(1_000)
  send('SIGINT')
  unheed()
  send('SIGINT')
  interrupts.end()
  expect([inner.mock.calls.length, outer.mock.calls.length]).toEqual([1, 1])
})
