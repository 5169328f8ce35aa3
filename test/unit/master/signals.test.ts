/** What a SIGHUP means, by what became of the terminal. */
import { expect, it } from 'vitest'
import { meaningOfHangup } from '../../../src/master/signals.ts'

it.each([
  ['is a reload while the terminal is there, or where there never was one', false, false, null, 'reload'],
  ['is a reload under nohup as well', false, true, null, 'reload'],
  ['is a stop when the terminal went away', true, false, null, 'stop'],
  ['is nothing when it did under nohup', true, true, null, 'nothing'],
  ['is nothing when the shell tells the same once more', true, true, 999, 'nothing'],
  ['is a reload under nohup when it comes later', true, true, 1_000, 'reload'],
] as const)('a SIGHUP %s', (_, isLost, isImmune, sinceLossMs, meaning) => {
  expect(meaningOfHangup({ isLost, isImmune, sinceLossMs })).toBe(meaning)
})
