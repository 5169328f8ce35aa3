/** One message to many: what one of them cannot be told costs nobody anything. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { broadcastTo } from '../../../src/protocols/broadcast.ts'
import type { Connection } from '../../../src/protocols/connection.ts'
import type { Protocol } from '../../../src/protocols/stream/protocol.ts'
import { until } from '../../helpers/processes.ts'
import { pair, turns } from './pair.ts'

const logged: string[] = []
beforeEach(() => {
  logged.length = 0
  vi.spyOn(console, 'error').mockImplementation((line: string) => void logged.push(line))
})
afterEach(() => void vi.restoreAllMocks())

it('what no codec can say is one entry of the log, and every connection stays', async () => {
  const codec: Protocol<Buffer, object> = {
    input: (buffer) => buffer.length,
    decode: (bytes) => bytes,
    encode: (value) => {
      if (typeof value !== 'object') throw new TypeError('only objects')
      return JSON.stringify(value)
    },
  }
  const pairs = [await pair(), await pair(), await pair<Buffer, object>({ codec })]
  await turns()
  const connections = pairs.map(({ connection }) => connection as unknown as Connection)
  expect(broadcastTo(connections, 7)).toBe(0)
  expect(broadcastTo(connections, { some: 'object' })).toBe(1)
  expect(broadcastTo(connections, 'text')).toBe(2)
  expect(logged.map((line) => line.split('\n')[0])).toEqual([
    expect.stringContaining('a broadcast cannot be sent: TypeError'),
    expect.stringContaining('a broadcast cannot be sent: TypeError'),
    expect.stringContaining('a broadcast cannot be sent: TypeError: only objects'),
  ])
  await until('all have got theirs', () => pairs.every(({ got }) => got() !== ''))
  expect(pairs.map(({ got }) => got())).toEqual(['text\n', 'text\n', '{"some":"object"}'])
  expect(pairs.flatMap(({ told, connection }) => [...told, connection.state])).toEqual(['open', 'open', 'open'])
})
