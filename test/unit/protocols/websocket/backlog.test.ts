import { expect, it } from 'vitest'
import { Backlog } from '../../../../src/protocols/websocket/backlog.ts'

it('gives the messages in their order', () => {
  const backlog = new Backlog<string>()
  expect([backlog.isEmpty, backlog.shift()]).toEqual([true, undefined])
  for (const message of ['a', '', 'b']) backlog.push(message)
  expect([backlog.shift(), backlog.shift(), backlog.isEmpty, backlog.shift(), backlog.isEmpty]).toEqual([
    'a',
    '',
    false,
    'b',
    true,
  ])
})

it('is much above 64 KB and little below half of that, and empty messages count, too', () => {
  const backlog = new Backlog<string>()
  backlog.push('x'.repeat(64 * 1024))
  expect([backlog.isMuch, backlog.isLittle]).toEqual([true, false])
  backlog.shift()
  expect([backlog.isMuch, backlog.isLittle]).toEqual([false, true])
  let count = 0
  for (; !backlog.isMuch; count++) backlog.push('')
  expect(count).toBe(1025)
  while (!backlog.isLittle) {
    backlog.shift()
    count--
  }
  expect(count).toBe(512)
})
