import { describe, expect, it } from 'vitest'
import { checkHooks, demandHook } from '../../../src/gateway/hooks.ts'

const work = (): void => undefined

describe('hooks', () => {
  it('are functions or null', () => {
    expect(() => checkHooks('B', { onMessage: work, onClose: null })).not.toThrow()
    for (const [value, name] of [
      [undefined, 'undefined'],
      ['work', 'string'],
      [{}, 'object'],
    ])
      expect(() => checkHooks('B', { onClose: null, onMessage: value })).toThrow(`B: onMessage is ${String(name)}`)
  })

  it('are there, at least one', () => {
    expect(() => demandHook('B', { onConnect: null, onMessage: work })).not.toThrow()
    expect(() => demandHook('B', { onConnect: null, onMessage: null })).toThrow('B handles nothing')
  })
})
