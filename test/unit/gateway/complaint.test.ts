import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { complaint } from '../../../src/gateway/business/complaint.ts'
import { ShiftworkError } from '../../../src/index.ts'

/** An error that was thrown in user code, called from this package, called from Node. */
function thrown(error: Error): Error {
  const own = new URL('../../../src/gateway/business/client.ts', import.meta.url).pathname
  const head = String(error)
  error.stack = `${head}\n    at onMessage (/srv/app.ts:7:3)\n    at #call (file://${own}:1:1)\n    at processTicks (node:internal/x:1:1)`
  return error
}

it('says which hook, for whom and where, and shows no frame of this package', () => {
  const text = complaint('bytes', 'g.c', thrown(new Error('no')))
  expect(text).toBe('shiftwork: onMessage of client g.c threw: Error: no\n    at onMessage (/srv/app.ts:7:3)')
})

it('shows the hint and the cause', () => {
  const cause = thrown(new Error('deeper'))
  const text = complaint('close', 'g.c', thrown(new ShiftworkError('ERR_OPTION', 'wrong', { hint: 'do this', cause })))
  for (const part of ['onClose of client g.c', 'wrong', 'do this', 'deeper', '/srv/app.ts:7:3'])
    expect(text).toContain(part)
})

it('ends with a chain of causes that is a circle', () => {
  const error = new Error('round')
  error.cause = error
  expect(complaint('text', 'g.c', error).match(/Error: round/g)).toHaveLength(6)
})

it('takes whatever is thrown', () => {
  expect(complaint('connect', 'g.c', 'a word')).toBe("shiftwork: onConnect of client g.c threw: 'a word'")
  expect(complaint('error', 'g.c', undefined)).toBe('shiftwork: onError of client g.c threw: undefined')
})

it('is said of anything that can be thrown', () => {
  const listed = new Error('with a list')
  listed.stack = [] as unknown as string
  expect(complaint('text', 'g.c', listed)).toContain('Error: with a list')
  const hidden = {
    [inspect.custom]: () => {
      throw new Error('hidden')
    },
  }
  expect(complaint('text', 'g.c', hidden)).toBe(
    'shiftwork: onMessage of client g.c threw: something that cannot be shown',
  )
})
