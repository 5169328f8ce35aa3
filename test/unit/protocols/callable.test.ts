/** Hooks that cannot be called: which is meant, and what to set in its place. */
import { expect, it } from 'vitest'
import type { Runnable, Subject } from '../../../src/protocols/hooks.ts'
import { missingHandler } from '../../../src/protocols/server.ts'

function missing(hooks: Record<string, unknown>): string | null {
  return missingHandler({ subject: { server: null, ...hooks } as unknown as Subject } as Runnable, 'http')
}

it('functions are fine, and so is what is left out', () => {
  expect(missing({ onRequest: () => undefined, onMessage: null, onClose: undefined })).toBeNull()
  expect(missing({ onRequest: null })).toBe('worker.onRequest or worker.onMessage')
})

it.each<[string, Record<string, unknown>, string, RegExp]>([
  ['a Koa', { onRequest: { callback: () => undefined } }, 'onRequest is an object', /app\.callback\(\)/],
  ['a Fastify', { onRequest: { routing: () => undefined } }, 'onRequest is an object', /app\.routing/],
  ['a Hono', { onRequest: { fetch: () => undefined } }, 'onRequest is an object', /getRequestListener\(app\.fetch\)/],
  ['another object', { onMessage: {} }, 'onMessage is an object', /a function, or to null/],
  ['text', { onRequest: () => undefined, onClose: 'close' }, 'onClose is a string', /a function, or to null/],
])('%s is not', (_, hooks, message, hint) => {
  expect(() => missing(hooks)).toThrow(
    expect.objectContaining({
      code: 'ERR_OPTION',
      message: `${message}, and must be a function`,
      hint: expect.stringMatching(hint),
    }),
  )
})

it('a whole module is not, though its default export may be', async () => {
  const module = await import('../../../src/protocols/server.ts')
  expect(() => missing({ onRequest: module })).toThrow(/onRequest is a whole module/)
})
