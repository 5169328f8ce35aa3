/** Guesses for mistyped words, durations and plurals. */
import { describe, expect, it } from 'vitest'
import { duration, nearest, plural } from '../../src/words.ts'

describe('nearest', () => {
  const COMMANDS = ['start', 'stop', 'restart', 'reload', 'status', 'version', 'help']

  it.each([
    ['relaod', 'reload'],
    ['Reload', 'reload'],
    ['relod', 'reload'],
    ['stat', 'start'],
    ['sotp', 'stop'],
    ['statsu', 'status'],
    ['restrat', 'restart'],
    ['hlep', 'help'],
    ['ver', 'version'],
    ['vers', 'version'],
    ['relo', 'reload'],
  ])('%s is meant to be %s', (word, meant) => {
    expect(nearest(word, COMMANDS)).toBe(meant)
  })

  it.each([['banana'], ['x'], [''], ['re'], ['kill'], ['sz']])('"%s" is meant to be nothing that is known', (word) => {
    expect(nearest(word, COMMANDS)).toBeUndefined()
  })

  it('guesses nothing when nothing is known', () => {
    expect(nearest('web', [])).toBeUndefined()
  })
})

describe('duration', () => {
  it.each([
    [0, '0 ms'],
    [0.4, '0 ms'],
    [412.3, '412 ms'],
    [999, '999 ms'],
    [999.6, '1.0 s'],
    [1_000, '1.0 s'],
    [3_249, '3.2 s'],
    [59_900, '59.9 s'],
    [59_949, '59.9 s'],
    [59_951, '1 m 0 s'],
    [60_000, '1 m 0 s'],
    [250_000, '4 m 10 s'],
    [3_599_000, '59 m 59 s'],
    [3_600_000, '1 h 0 m'],
    [7_500_000, '2 h 5 m'],
    [47 * 3_600_000, '47 h 0 m'],
    [48 * 3_600_000, '2 d 0 h'],
    [76 * 3_600_000, '3 d 4 h'],
  ])('%d ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text)
  })
})

it('counts one worker, and workers', () => {
  expect([0, 1, 2].map((count) => plural(count, 'worker'))).toEqual(['0 workers', '1 worker', '2 workers'])
})
