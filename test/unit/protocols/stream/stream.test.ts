/** A connection of messages: what is handled when, what a failure costs, and how it ends. Over real sockets. */
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { FRAME } from '../../../../src/protocols/stream/frame.ts'
import type { Protocol } from '../../../../src/protocols/stream/protocol.ts'
import { TCP } from '../../../../src/protocols/stream/tcp.ts'
import { TEXT } from '../../../../src/protocols/stream/text.ts'
import { until } from '../../../helpers/processes.ts'
import { gate, type Pair, pair, turns } from '../pair.ts'

const logged: string[] = []
beforeEach(() => {
  logged.length = 0
  vi.spyOn(console, 'error').mockImplementation((line: string) => void logged.push(line))
})
afterEach(() => void vi.restoreAllMocks())

describe('messages', () => {
  it('are handled one at a time: the next waits until the promise of the first has settled', async () => {
    const first = gate()
    const { client, told, connection }: Pair<string, string> = await pair({
      hooks: {
        onMessage: async (_connection, message) => {
          told.push(`begin ${message}`)
          if (message === '1') await first.opened
          told.push(`end ${message}`)
        },
      },
    })
    client.write('1\n2\n3\n')
    await until('the first is begun', () => told.includes('begin 1'))
    await turns()
    expect(told).toEqual(['begin 1'])
    expect(connection.isAtRest).toBe(false)
    first.open()
    await until('the last is handled', () => told.includes('end 3'))
    expect(told).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3'])
    expect(connection.isAtRest).toBe(true)
  })

  it('also when a handler pauses and resumes at once', async () => {
    const { client, told }: Pair<string, string> = await pair({
      hooks: {
        onMessage: (connection, message) => {
          told.push(`begin ${message}`)
          connection.pause()
          connection.resume()
          told.push(`end ${message}`)
        },
      },
    })
    client.write('1\n2\n')
    await until('both are handled', () => told.length === 4)
    client.write('3\n')
    await until('it still reads', () => told.includes('end 3'))
    expect(told).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3'])
  })

  it('wait for onConnect', async () => {
    const connected = gate()
    const { client, told }: Pair<string, string> = await pair({
      hooks: { onConnect: () => connected.opened, onMessage: (_connection, message) => void told.push(message) },
    })
    client.write('1\n')
    await turns(20)
    expect(told).toEqual([])
    connected.open()
    await until('it is handled', () => told.length > 0)
  })

  it('none is handled after close, none while it is paused', async () => {
    const { client, told, connection }: Pair<string, string> = await pair({
      hooks: {
        onMessage: (current, message) => {
          told.push(message)
          if (message === 'pause') current.pause()
          if (message === 'close') current.close()
        },
      },
    })
    client.write('pause\nclose\nnever\n')
    await until('it is paused', () => told.includes('pause'))
    await turns(20)
    expect(told).toEqual(['pause'])
    connection.resume()
    await once(client, 'end')
    client.end()
    await until('it is closed', () => told.includes('closed'))
    expect(told).toEqual(['pause', 'close', 'closed'])
  })

  it('a client is slowed down while a handler takes its time, and not a byte is lost', async () => {
    const slow = gate()
    let bytes = 0
    const { client, connection } = await pair<Buffer, string | Uint8Array>({
      codec: TCP,
      hooks: {
        onMessage: async (_connection, chunk) => {
          bytes += chunk.length
          await slow.opened
        },
      },
    })
    const whole = 32 * 1024 * 1024
    client.write(Buffer.alloc(whole))
    await until('the first is begun', () => bytes > 0)
    const before = client.writableLength
    await turns(200)
    expect(client.writableLength).toBeGreaterThan(0)
    expect(connection.bytesRead).toBeLessThan(1024 * 1024)
    expect(before).toBeGreaterThan(0)
    slow.open()
    await until('all has come', () => bytes === whole)
  })
})

describe('a failure costs one connection its life', () => {
  const broken = (part: 'input' | 'decode' | 'encode'): Protocol<string> => ({
    ...TEXT,
    [part]: () => {
      throw new Error(`${part} is broken`)
    },
  })

  it.each(['input', 'decode', 'encode'] as const)('%s throws', async (part) => {
    const { client, told }: Pair<string, string> = await pair({
      codec: broken(part),
      hooks: { onMessage: (connection) => expect(connection.send('answer')).toBe(false) },
    })
    client.write('1\n')
    await once(client, 'end')
    client.end()
    await until('it is closed', () => told.includes('closed'))
    expect(told).toEqual([`error ${part} is broken`, 'closed'])
    expect(logged[0]).toMatch(
      new RegExp(
        `^shiftwork: web/0 \\(pid ${process.pid}\\): .* of a text connection failed: Error: ${part} is broken`,
      ),
    )
    // what clients can bring about is a single line
    expect(logged[0]?.includes('\n')).toBe(part === 'encode')
  })

  it('encode throws where no handler runs: send says false, and throws nothing', async () => {
    const { connection, client } = await pair({ codec: broken('encode') })
    await turns()
    expect(connection.send('x')).toBe(false)
    await once(client, 'end')
  })

  it.each([-1, 1.5, Number.NaN, undefined])('input returns %s', async (need) => {
    const { client, told }: Pair<string, string> = await pair({ codec: { ...TEXT, input: () => need as number } })
    client.write('1\n')
    await once(client, 'end')
    expect(told).toEqual([`error input returned ${need}: it must be a number of bytes`])
  })

  it('a message is one byte too long', async () => {
    const handled: number[] = []
    const { client, told }: Pair<string, string> = await pair({
      hooks: { onMessage: (_connection, line) => handled.push(line.length) },
    })
    client.write(`${'x'.repeat(999)}\n${'x'.repeat(1_000)}\n`)
    await once(client, 'end')
    expect({ handled, told }).toEqual({ handled: [999], told: ['error ERR_MESSAGE_TOO_LARGE'] })
  })

  it('a message has more bytes than are allowed and no end yet', async () => {
    const { client, told } = await pair()
    client.write('x'.repeat(1_001))
    await once(client, 'end')
    expect(told).toEqual(['error ERR_MESSAGE_TOO_LARGE'])
  })

  it('a frame claims more bytes than are allowed', async () => {
    const { client, told } = await pair<Buffer, string | Uint8Array>({ codec: FRAME })
    client.write(Buffer.of(0, 0, 3, 233))
    await once(client, 'end')
    expect(told).toEqual(['error ERR_MESSAGE_TOO_LARGE'])
  })
})

describe('part', () => {
  it('ends a connection at rest at once, and it is an end, no reset', async () => {
    const { connection, client, told } = await pair()
    connection.part()
    await once(client, 'end')
    client.end('crossed\n')
    await until('it is closed', () => told.includes('closed'))
    expect(told).toEqual(['closed'])
  })

  it('handles all that has come, however much waits behind a handler, and the message that has begun', async () => {
    const first = gate()
    const { connection, client, told, got }: Pair<string, string> = await pair({
      hooks: {
        onMessage: async (current, message) => {
          told.push(message)
          if (message === '1') await first.opened
          current.send(`answer ${message}`)
        },
      },
    })
    client.write('1\n2\n3\n4')
    await until('the first is begun', () => told.includes('1'))
    await turns()
    connection.part()
    await turns()
    first.open()
    await until('the third is answered', () => got().includes('answer 3'))
    expect(client.readableEnded).toBe(false)
    client.write('th\n5\n')
    await once(client, 'end')
    expect(got()).toBe('answer 1\nanswer 2\nanswer 3\nanswer 4th\n')
  })

  it('handles what waits with the kernel, since a handler was busy', async () => {
    const first = gate()
    let handled = 0
    const { connection, client, told } = await pair({
      isUnix: true,
      hooks: {
        onMessage: async () => {
          handled++
          if (handled === 1) await first.opened
        },
      },
    })
    const whole = 300 * 1_000
    await new Promise((resolve) => client.write(`${'x'.repeat(999)}\n`.repeat(300), resolve))
    await until('it is read no further', () => connection.bytesRead > 64 * 1024)
    await turns()
    expect(connection.bytesRead).toBeLessThan(whole)
    connection.part()
    await turns()
    first.open()
    await once(client, 'end')
    expect({ handled, told }).toEqual({ handled: 300, told: [] })
  })

  it('handles what has come while onConnect took its time', async () => {
    const connected = gate()
    const { connection, client, told }: Pair<string, string> = await pair({
      hooks: { onConnect: () => connected.opened, onMessage: (_connection, message) => void told.push(message) },
    })
    client.write('1\n2\n')
    await turns(20)
    connection.part()
    await turns(20)
    expect(client.readableEnded).toBe(false)
    connected.open()
    await once(client, 'end')
    expect(told).toEqual(['1', '2'])
  })

  it('one that only sends is closed by a reset a second after its end, so that it notices', async () => {
    const { connection, client, told }: Pair<string, string> = await pair({ hooks: { onMessage: () => undefined } })
    client.pause()
    const sending = setInterval(() => client.write('line\n'), 5)
    onTestFinished(() => clearInterval(sending))
    await until('it has sent', () => connection.bytesRead > 0)
    connection.part()
    const begunAt = performance.now()
    await new Promise((resolve) => client.once('close', resolve))
    expect(performance.now() - begunAt).toBeLessThan(8_000)
    expect(told.filter((line) => line.startsWith('client'))).toHaveLength(1)
  })

  it('one that only sends, and has something to read, is given longer', async () => {
    const { connection, client, told }: Pair<string, string> = await pair({ hooks: { onMessage: () => undefined } })
    const sending = setInterval(() => client.write('line\n'), 5)
    onTestFinished(() => clearInterval(sending))
    connection.send('answer')
    client.pause()
    await until('it has sent', () => connection.bytesRead > 0)
    connection.part()
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    expect({ told, state: connection.state }).toEqual({ told: [], state: 'closing' })
  })

  it('waits for one that is paused until it is resumed', async () => {
    const { connection, client, told }: Pair<string, string> = await pair({
      hooks: { onMessage: (_connection, message) => void told.push(message) },
    })
    await turns()
    connection.pause()
    client.write('1\n')
    await turns(20)
    connection.part()
    await turns(20)
    expect({ told, unfinished: connection.unfinished }).toEqual({ told: [], unfinished: 'it is paused' })
    connection.resume()
    await once(client, 'end')
    expect(told).toEqual(['1'])
  })
})

describe('a client that resets', () => {
  it('while onConnect takes its time: onClose comes behind that, and nothing that it had said is handled', async () => {
    const connected = gate()
    const { connection, client, told, connections }: Pair<string, string> = await pair({
      hooks: {
        onConnect: async () => {
          await connected.opened
          told.push('connected')
        },
        onMessage: (_connection, message) => void told.push(message),
      },
    })
    client.write('1\n')
    await turns()
    client.resetAndDestroy()
    await until('it has gone', () => connection.state === 'closed')
    await turns(20)
    expect({ told, size: connections.size }).toEqual({ told: ['error ECONNRESET'], size: 1 })
    connected.open()
    await until('it is closed', () => told.includes('closed'))
    expect({ told, size: connections.size }).toEqual({ told: ['error ECONNRESET', 'connected', 'closed'], size: 0 })
  })

  it('while a message is handled: onClose comes behind that, also when the handler fails or closes', async () => {
    for (const ending of ['settles', 'rejects', 'closes'] as const) {
      const first = gate()
      const { connection, client, told, connections }: Pair<string, string> = await pair({
        hooks: {
          onMessage: async (current, message) => {
            told.push(message)
            await first.opened
            if (ending === 'rejects') throw new Error('as asked')
            if (ending === 'closes') current.close()
            told.push('done')
          },
        },
      })
      client.write('1\n2\n')
      await until('the first is begun', () => told.includes('1'))
      client.resetAndDestroy()
      await until('it has gone', () => connection.state === 'closed')
      expect({ told, size: connections.size }).toEqual({ told: ['1', 'error ECONNRESET'], size: 1 })
      expect(connection.send('x')).toBe(false)
      first.open()
      await until('it is closed', () => told.includes('closed'))
      await turns()
      const end = ending === 'rejects' ? 'error as asked' : 'done'
      expect(told).toEqual(['1', 'error ECONNRESET', 'error ERR_CONNECTION_CLOSED', end, 'closed'])
      expect(connections.size).toBe(0)
    }
  })
})

describe('half-close', () => {
  it('a client that has ended still gets its answers, also of a handler that takes its time', async () => {
    const { client, got } = await pair({
      hooks: {
        onMessage: async (connection, message) => {
          await turns(10)
          connection.send(`answer ${message}`)
        },
      },
    })
    client.end('1\n2\n')
    await once(client, 'end')
    expect(got()).toBe('answer 1\nanswer 2\n')
  })

  it('a client that has ended where we had ended before is heard to its last message, and onClose comes after that', async () => {
    const first = gate()
    const { client, told, connection, connections }: Pair<string, string> = await pair({
      hooks: {
        onMessage: async (_connection, message) => {
          if (message === '1') await first.opened
          told.push(message)
        },
      },
    })
    connection.end()
    client.end('1\n2\n3\n')
    await once(client, 'close')
    await turns(20)
    expect({ told, size: connections.size }).toEqual({ told: [], size: 1 })
    first.open()
    await until('it is closed', () => told.includes('closed'))
    expect({ told, size: connections.size }).toEqual({ told: ['1', '2', '3', 'closed'], size: 0 })
  })

  it('a client that we send no more still is heard', async () => {
    const { connection, client, told }: Pair<string, string> = await pair({
      hooks: { onMessage: (_connection, message) => void told.push(message) },
    })
    await turns()
    connection.end()
    await once(client, 'end')
    expect(connection.send('x')).toBe(false)
    client.end('1\n')
    await until('it is closed', () => told.includes('closed'))
    expect(told).toEqual(['error ERR_CONNECTION_CLOSED', '1', 'closed'])
  })
})

describe('pipe', () => {
  /** More than all buffers on the way hold, into a client that does not read. */
  async function pipedUntilFull() {
    const target = await pair<Buffer, string | Uint8Array>({ codec: TCP, limits: { maxSendBufferBytes: 1_000 } })
    const source = await pair<Buffer, string | Uint8Array>({ codec: TCP })
    await turns()
    source.connection.pipe(target.connection)
    target.client.pause()
    const whole = 32 * 1024 * 1024
    source.client.write(Buffer.alloc(whole))
    await until('the target is full', () => target.connection.isFull)
    return { source, target, whole }
  }

  it('into a full connection waits, and loses nothing', async () => {
    const { source, target, whole } = await pipedUntilFull()
    await turns(200)
    expect(target.connection.bufferedBytes).toBeLessThan(200_000)
    let bytes = 0
    target.client.on('data', (chunk) => {
      bytes += chunk.length
    })
    target.client.resume()
    await until('all has arrived', () => bytes === whole)
    expect(target.told.filter((line) => line.startsWith('error'))).toEqual([])
    source.client.destroy()
    await once(target.client, 'end')
  })

  it('into one that is full again as soon as it is drained waits on', async () => {
    let refills = 2
    const target = await pair<Buffer, string | Uint8Array>({
      codec: TCP,
      limits: { maxSendBufferBytes: 1_000 },
      hooks: {
        onBufferDrain: (connection) => {
          if (refills-- > 0) connection.send(Buffer.alloc(16 * 1024 * 1024))
        },
      },
    })
    const source = await pair<Buffer, string | Uint8Array>({ codec: TCP })
    await turns()
    source.connection.pipe(target.connection)
    target.client.pause()
    target.connection.send(Buffer.alloc(16 * 1024 * 1024))
    source.client.write('message')
    await until('it waits', () => source.connection.unfinished === 'its handler has not settled')
    let bytes = 0
    target.client.on('data', (chunk) => {
      bytes += chunk.length
    })
    target.client.resume()
    await until('it is handed on', () => source.connection.isAtRest)
    expect(target.told.filter((line) => line.startsWith('error'))).toEqual([])
    await until('all has arrived', () => bytes === 3 * 16 * 1024 * 1024 + 'message'.length)
  })

  it('into one that is closed while it is full goes on: what comes is dropped, and told', async () => {
    const { source, target, whole } = await pipedUntilFull()
    target.client.destroy()
    await until('all was read', () => source.connection.bytesRead === whole)
    expect(target.told).toContain('error ERR_CONNECTION_CLOSED')
  })

  it('both ways: an end is handed on, and the answer to it comes back', async () => {
    const [front, back] = [await pair(), await pair()]
    await turns()
    front.connection.pipe(back.connection)
    back.connection.pipe(front.connection)
    front.client.end('question\n')
    await once(back.client, 'end')
    expect(back.got()).toBe('question\n')
    back.client.end('answer\n')
    await once(front.client, 'end')
    expect(front.got()).toBe('answer\n')
    await until('both are closed', () => front.told.includes('closed') && back.told.includes('closed'))
    expect([...front.told, ...back.told]).toEqual(['closed', 'closed'])
  })

  it('what had come before, and nobody has handled, fails it and closes both: the target would miss the beginning', async () => {
    const [front, back] = [await pair(), await pair()]
    await turns()
    front.client.write('first\n')
    await until('it has come', () => front.connection.bytesRead > 0 && front.connection.isAtRest)
    front.connection.pipe(back.connection).pipe(front.connection)
    expect(front.told).toEqual(['error ERR_TOO_LATE'])
    expect(logged[0]).toMatch(/pipe of a text connection failed: ShiftworkError: pipe\(\) comes too late: 1 message /)
    await Promise.all([once(front.client, 'end'), once(back.client, 'end')])
    expect(back.got()).toBe('')
  })

  it('what had come before, and was handled, does not: a greeting of one’s own', async () => {
    const heard: string[] = []
    const front = await pair({ hooks: { onMessage: (_, line) => heard.push(line) } })
    const back = await pair()
    await turns()
    front.client.write('greeting\n')
    await until('it is handled', () => heard.length > 0)
    front.connection.pipe(back.connection)
    front.client.write('rest\n')
    await once(back.client, 'data')
    expect([heard, back.got()]).toEqual([['greeting'], 'rest\n'])
  })

  it('when the target is gone, who is piped into it both ways is closed', async () => {
    const [front, back] = [await pair(), await pair()]
    await turns()
    front.connection.pipe(back.connection)
    back.connection.pipe(front.connection)
    back.client.destroy()
    await once(front.client, 'end')
  })
})

describe('the send buffer', () => {
  it('full: onBufferFull, what is sent is dropped and onError told; drained: onBufferDrain', async () => {
    const { connection, client, told } = await pair<Buffer, string | Uint8Array>({ codec: TCP })
    await turns()
    client.pause()
    expect(connection.send(Buffer.alloc(16 * 1024 * 1024))).toBe(null)
    expect(connection.send('dropped')).toBe(false)
    expect(told).toEqual(['full', 'error ERR_SEND_BUFFER_FULL'])
    client.resume()
    await until('it is drained', () => told.includes('drained'))
    expect(connection.send('x')).toBe(true)
  })

  it('also with a limit below what Node.js itself thinks of as full', async () => {
    const { connection, client, told } = await pair<Buffer, string | Uint8Array>({
      codec: TCP,
      limits: { maxSendBufferBytes: 1 },
    })
    await turns()
    client.pause()
    for (let sent = 0; !connection.isFull && sent < 100_000; sent++) connection.send(Buffer.alloc(1_000))
    expect(told).toEqual(['full'])
    client.resume()
    await until('it is drained', () => told.includes('drained'))
  })
})

describe('silence', () => {
  it('an idle client is disconnected by an end, and hears nothing before', async () => {
    const { client, told, got }: Pair<string, string> = await pair({ limits: { idleTimeoutMs: 100 } })
    const begunAt = performance.now()
    await once(client, 'end')
    expect(performance.now() - begunAt).toBeGreaterThanOrEqual(95)
    expect({ got: got(), told }).toEqual({ got: '', told: [] })
  })

  it('one that says something is not', async () => {
    const { client, told, connection }: Pair<string, string> = await pair({
      limits: { idleTimeoutMs: 1_000 },
      hooks: { onMessage: (_connection, message) => void told.push(message) },
    })
    const begunAt = performance.now()
    for (let count = 1; performance.now() - begunAt < 1_500; count++) {
      client.write(`${count}\n`)
      await until('it has come', () => told.length === count)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(connection.state).toBe('open')
    await once(client, 'end')
  })

  it('nor is one whose message is being handled, or that we do not read', async () => {
    const handled = gate()
    const { client, connection, got } = await pair({
      limits: { idleTimeoutMs: 300 },
      hooks: {
        onMessage: async (current) => {
          await handled.opened
          current.send('answer')
          current.pause()
        },
      },
    })
    client.write('1\n')
    await until(
      'its silence is long enough',
      () => connection.idleMs > 0 && performance.now() - connection.openedAt > 900,
    )
    expect(connection.state).toBe('open')
    handled.open()
    await until('it is answered', () => got() === 'answer\n')
    const pausedAt = performance.now()
    await until('its pause is long enough', () => performance.now() - pausedAt > 900)
    expect(connection.state).toBe('open')
    connection.resume()
    await once(client, 'end')
  })

  it('a client that answers pings lives; one that does not is destroyed, and onError told why', async () => {
    const { client, told, got }: Pair<string, string> = await pair({
      limits: { heartbeat: { everyMs: 60, maxMissed: 2, data: 'ping' } },
    })
    const answer = (chunk: Buffer): unknown => client.write(String(chunk).replaceAll('ping', 'pong'))
    client.on('data', answer)
    await until('it has answered often', () => got().length >= 'ping\n'.length * 6)
    expect(told).toEqual([])
    client.off('data', answer)
    const before = got().length
    await once(client, 'end')
    expect(got().slice(before)).toBe('ping\nping\n')
    client.end()
    await until('it is closed', () => told.includes('closed'))
    expect(told).toEqual(['error ERR_TIMEOUT', 'closed'])
  })

  it('a process that was blocked reads first what was said meanwhile', async () => {
    const { client, told, connection }: Pair<string, string> = await pair({
      limits: { idleTimeoutMs: 150 },
      hooks: { onMessage: (_connection, message) => void told.push(message) },
    })
    await turns()
    client.write('said\n')
    await new Promise((resolve) => client.write('again\n', resolve))
    const blockedUntil = performance.now() + 400
    while (performance.now() < blockedUntil);
    await until('it was heard', () => told.includes('again'))
    expect(told).toEqual(['said', 'again'])
    expect(connection.state).toBe('open')
  })
})
