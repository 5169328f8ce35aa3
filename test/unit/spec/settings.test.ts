/** The options of `runAll`: what they become, and the sentence for each that is wrong. */
import { describe, expect, it } from 'vitest'
import { ShiftworkError } from '../../../src/errors.ts'
import { checkSettings } from '../../../src/spec/settings.ts'

function faultOf(options: Record<string, unknown>): { message: string; hint: string | undefined } {
  try {
    checkSettings(options)
  } catch (error) {
    if (error instanceof ShiftworkError) return { message: error.message, hint: error.hint }
    throw error
  }
  throw new Error('there is nothing wrong with it')
}

it('none: nothing is watched, run or served', () => {
  expect(checkSettings({})).toEqual({
    ...{ watch: null, preReload: null, metrics: null, logFormat: 'text' },
    ...{ stateDir: null, logFile: null, stdoutFile: null },
  })
})

describe('preReload', () => {
  it.each([
    ['npm run build', { command: 'npm run build', timeoutMs: 300_000 }],
    [{ command: 'make' }, { command: 'make', timeoutMs: 300_000 }],
    [
      { command: 'make', timeoutMs: 1 },
      { command: 'make', timeoutMs: 1 },
    ],
  ])('%j', (preReload, checked) => {
    expect(checkSettings({ preReload }).preReload).toEqual(checked)
  })

  it.each([
    [7],
    [''],
    [{}],
    [{ command: '' }],
    [{ command: 7 }],
    [null],
    [['make']],
    [{ command: 'make', timeoutMs: 0 }],
    [{ command: 'make', timeoutMs: '5' }],
    [{ command: 'make', timeout: 5 }],
  ])('%j is refused in a sentence that names it', (preReload) => {
    const { message } = faultOf({ preReload })
    expect(message).toMatch(/preReload|command|timeout/)
  })
})

describe('watch', () => {
  it.each([
    [true, []],
    [false, null],
    ['src', ['src']],
    [
      ['src', 'lib'],
      ['src', 'lib'],
    ],
  ])('%j', (watch, checked) => {
    expect(checkSettings({ watch }).watch).toEqual(checked)
  })
})

describe('an option that is not there', () => {
  it.each([
    ['prereload', 'Did you mean "preReload"?'],
    ['surge', expect.stringContaining('Known options: stateDir')],
  ])('%s', (name, hint) => {
    expect(faultOf({ [name]: 1 })).toEqual({ message: `runAll has an unknown option "${name}"`, hint })
  })
})

it('metrics are spoken over http alone', () => {
  expect(faultOf({ metrics: 'https://127.0.0.1:9100' }).message).toContain('only http://')
})
