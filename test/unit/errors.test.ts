/** Whatever is thrown becomes text, and making the text never throws. */
import { describe, expect, it } from 'vitest'
import { describeError, ShiftworkError, systemCode } from '../../src/errors.ts'

describe('describeError', () => {
  it('gives the message and the stack', () => {
    const error = new TypeError('no such method')
    error.stack = 'TypeError: no such method\n    at start (/app/start.js:3:7)'
    expect(describeError(error)).toEqual({ message: 'no such method', stack: error.stack })
  })

  it('leaves out frames that are not the user’s to mend: those of Node.js and of this package', () => {
    const error = new Error('bad')
    const own = new URL('../../src/api.ts', import.meta.url).pathname
    error.stack = `Error: bad\n    at load (/app/start.js:3:7)\n    at run (${own}:1:1)\n    at node:internal/process/task_queues:95:5`
    expect(describeError(error).stack).toBe('Error: bad\n    at load (/app/start.js:3:7)')
  })

  it('says what to do about an error that knows it', () => {
    const error = new ShiftworkError('ERR_OPTION', 'No handler', { hint: 'Set onRequest.' })
    error.stack = 'ShiftworkError: No handler'
    expect(describeError(error).stack).toBe('ShiftworkError: No handler\nSet onRequest.')
  })

  it('gives the whole chain of causes', () => {
    const root = new Error('connection refused')
    const middle = new Error('no database', { cause: root })
    const { message, stack } = describeError(new Error('cannot start', { cause: middle }))
    expect(message).toBe('cannot start')
    expect(stack.match(/\[cause\] Error: .*/g)).toEqual([
      '[cause] Error: no database',
      '[cause] Error: connection refused',
    ])
  })

  it('a cause need not be an error', () => {
    const { stack } = describeError(new Error('failed', { cause: { status: 503 } }))
    expect(stack).toContain('[cause] a value that is no Error was thrown: {"status":503}')
  })

  it('ends a chain of causes that is a circle', () => {
    const first = new Error('first')
    const second = new Error('second', { cause: first })
    first.cause = second
    const { stack } = describeError(first)
    expect(stack.match(/^(\[cause\] )?Error: \w+/gm)).toEqual(['Error: first', '[cause] Error: second'])
    const self = new Error('self')
    self.stack = 'Error: self'
    self.cause = self
    expect(describeError(self).stack).toBe('Error: self')
  })

  it('puts the message before a stack that a loader has left it out of', () => {
    const error = new SyntaxError('Unexpected token')
    error.stack = 'file:///app/start.ts:3\n  a b\n    ^'
    expect(describeError(error).stack).toBe('SyntaxError: Unexpected token\nfile:///app/start.ts:3\n  a b\n    ^')
  })

  it('does without a stack', () => {
    const error = new Error('bare')
    Object.assign(error, { stack: undefined })
    expect(describeError(error).stack).toContain('Error: bare')
  })

  it.each([
    ['text', 'just text', 'just text'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 42, '42'],
    ['a symbol', Symbol('odd'), 'Symbol(odd)'],
    ['an object', { code: 7 }, '{"code":7}'],
    ['a big integer', 5n, '[object BigInt]'],
  ])('says what was thrown when it is %s', (_, thrown, text) => {
    const message = `a value that is no Error was thrown: ${text}`
    expect(describeError(thrown)).toEqual({ message, stack: message })
  })

  it('is text, whatever user code has made of an error', () => {
    const numbered = Object.assign(new Error('x'), { message: 404 })
    const listed = Object.assign(new Error('told'), { stack: [], name: 7 })
    const hostile = Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('no')
      },
    })
    expect(describeError(numbered)).toMatchObject({ message: '404', stack: expect.any(String) as string })
    expect(describeError(Object.assign(new Error('x'), { message: { a: 1 } })).message).toBe('{"a":1}')
    expect(describeError(listed)).toMatchObject({ message: 'told', stack: expect.stringContaining('told') as string })
    expect(describeError(hostile).message).toBe('an error was thrown that cannot be shown')
  })

  it('survives an object that contains itself, or that throws when it is printed', () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    const hostile = {
      toJSON: () => {
        throw new Error('no')
      },
    }
    for (const thrown of [circle, hostile]) expect(describeError(thrown).message).toContain('[object Object]')
  })
})

describe('ShiftworkError', () => {
  it('has a code, a hint and a cause, and its own name', () => {
    const cause = new Error('EACCES')
    const error = new ShiftworkError('ERR_STATE_DIR', 'Cannot write', { hint: 'Choose another.', cause })
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'ShiftworkError', code: 'ERR_STATE_DIR', hint: 'Choose another.', cause })
  })

  it('has no cause where none was given', () => {
    const error = new ShiftworkError('ERR_USAGE', 'What?')
    expect(error.hint).toBeUndefined()
    expect('cause' in error).toBe(false)
  })
})

it.each([
  [Object.assign(new Error('x'), { code: 'ENOENT' }), 'ENOENT'],
  [{ code: 'EPERM' }, 'EPERM'],
  [{ code: 5 }, undefined],
  [new Error('x'), undefined],
  ['ENOENT', undefined],
  [null, undefined],
  [undefined, undefined],
])('systemCode of %o is %s', (thrown, code) => {
  expect(systemCode(thrown)).toBe(code)
})

it('a message without end is told without end of it, and so is its stack', () => {
  const { message, stack } = describeError(new Error('x'.repeat(5_000_000), { cause: new Error('y'.repeat(100_000)) }))
  expect(message).toBe(`${'x'.repeat(4_096)}… (4995904 more characters)`)
  expect(stack.length).toBeLessThan(33_000)
  expect(stack).toContain('errors.test.ts')
  expect(describeError(Buffer.alloc(1_000_000)).message.length).toBeLessThan(5_000)
})
