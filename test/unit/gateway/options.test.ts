import { expect, it } from 'vitest'
import { checkGateway } from '../../../src/gateway/options.ts'

const listen = 'websocket://127.0.0.1:7272'

it('knows what is not said', () => {
  const { queue, ...rest } = checkGateway({ listen, queue: { maxMessages: 5, overflow: 'drop' } })
  expect(rest).toEqual({ delivery: 'at-least-once', maxSessionBytes: 16_384 })
  expect(queue).toEqual({
    maxMessages: 5,
    maxBytes: 1_048_576,
    maxTotalBytes: 67_108_864,
    maxMs: 30_000,
    overflow: 'drop',
  })
})

it.each([
  [{ queue: { max: 5 } }, 'Gateway: queue has an unknown member "max"'],
  [{ queue: { toString: 5 } }, 'Gateway: queue has an unknown member "toString"'],
  [{ queue: 5 }, 'Gateway: queue is 5'],
  [{ queue: { maxMessages: '5' } }, 'Gateway: queue.maxMessages is "5"'],
  [{ queue: { overflow: 'throw' } }, 'Gateway: queue.overflow is "throw"'],
  [{ delivery: 'exactly-once' }, 'Gateway: delivery is "exactly-once"'],
  [{ maxSessionBytes: 0 }, 'Gateway: maxSessionBytes is 0'],
  [{ listen: 'http://127.0.0.1:80' }, 'Gateway: it listens on http://127.0.0.1:80'],
  [{ listen: undefined }, 'Gateway: it listens nowhere'],
])('refuses %j in one sentence', (options, sentence) => {
  expect(() => checkGateway({ listen, ...options })).toThrow(sentence)
})
