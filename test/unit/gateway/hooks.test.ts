import { describe, expect, it } from 'vitest'
import { checkHookNames, checkHooks, checkProperties, demandHook, type Owner } from '../../../src/gateway/hooks.ts'

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

  it('have names that are known, whoever sets them, and properties of the user are his own in a worker', () => {
    const owner: Owner = { name: 'B', known: new Set(['onMessage', 'worker']), constructed: 'new B()', elsewhere: '' }
    expect(() => checkProperties({ worker: 1, onMessage: null }, owner)).not.toThrow()
    expect(() =>
      checkHookNames({ worker: 1, onMessage: work, database: work, once: work, on: 1, onlineUsers: work }, owner),
    ).not.toThrow()
    for (const check of [checkProperties, checkHookNames])
      for (const name of ['onMesage', 'onmessage'])
        expect(() => check({ [name]: work }, owner)).toThrow(`B: ${name} is no hook of it`)
    expect(() => checkProperties({ name: 'b' }, owner)).toThrow('B: name is no property of it')
  })

  it('are there, at least one', () => {
    expect(() => demandHook('B', { onConnect: null, onMessage: work })).not.toThrow()
    expect(() => demandHook('B', { onConnect: null, onMessage: null })).toThrow('B handles nothing')
  })
})
