/** What a worker owes for the datagrams it has read: handlers, answers, and how a drain waits for them. */
import { expect, it, vi } from 'vitest'
import type { Connection, ConnectionHooks } from '../../../../src/protocols/connection.ts'
import { type DatagramPort, Datagrams } from '../../../../src/protocols/datagram/datagrams.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A socket without a kernel: what is sent is done when the test says so. */
class FakePort implements DatagramPort {
  readonly localAddress = '10.0.0.1'
  readonly localPort = 53
  queuedBytes = 0
  /** What each answer adds to it. */
  bytesPerAnswer = 0
  isReading = true
  readonly sent: { text: string; to: string; done: (error: Error | null) => void }[] = []
  #listener: (data: Buffer, from: never) => void = () => undefined

  onDatagram(listener: Parameters<DatagramPort['onDatagram']>[0]): void {
    this.#listener = listener
  }

  send(bytes: Uint8Array, to: { address: string; port: number }, done: (error: Error | null) => void): void {
    this.queuedBytes += this.bytesPerAnswer
    this.sent.push({ text: Buffer.from(bytes).toString(), to: `${to.address} ${to.port}`, done })
  }

  stopReading(): void {
    this.isReading = false
  }

  readAgain(): void {
    this.isReading = true
  }

  come(text: string, from: Partial<{ address: string; port: number }> = {}): void {
    this.#listener(Buffer.from(text), { address: '10.0.0.2', port: 4000, ...from } as never)
  }
}

const NO_HOOKS: ConnectionHooks = {
  onConnect: null,
  onMessage: null,
  onClose: null,
  onError: null,
  onBufferFull: null,
  onBufferDrain: null,
}

function open(hooks: Partial<ConnectionHooks>): { port: FakePort; datagrams: Datagrams; count: () => number } {
  const onMessage = vi.fn()
  const datagrams = new Datagrams({
    protocol: 'udp',
    worker: { name: 'web', id: 0, generation: 0, isLeader: false, connections: new Set(), broadcast: () => 0 },
    hooks: { ...NO_HOOKS, ...hooks },
    limits: { maxMessageBytes: 10, maxSendBufferBytes: 100, idleTimeoutMs: 0, heartbeat: null },
    connections: { add: () => undefined, delete: () => undefined, onMessage },
  })
  const port = new FakePort()
  datagrams.open(port)
  return { port, datagrams, count: () => onMessage.mock.calls.length }
}

/** Whether a drain would end now. */
async function isDrained(datagrams: Datagrams): Promise<boolean> {
  let isDone = false
  void datagrams.drained().then(() => {
    isDone = true
  })
  await turn()
  return isDone
}

it('each datagram is counted and answered to its sender, however long it is', () => {
  const { port, count } = open({ onMessage: (connection, data) => connection.send(`${String(data)}!`) })
  port.come('a message of more than maxMessageBytes')
  port.come('b', { address: 'fe80::1%eth0', port: 1 })
  expect(count()).toBe(2)
  expect(port.sent.map(({ text, to }) => [text, to])).toEqual([
    ['a message of more than maxMessageBytes!', '10.0.0.2 4000'],
    ['b!', 'fe80::1%eth0 1'],
  ])
})

it('a drain waits for the end of reading, for each handler, and for each answer', async () => {
  const settle: (() => void)[] = []
  const { port, datagrams } = open({
    onMessage: async (connection) => {
      await new Promise<void>((resolve) => settle.push(resolve))
      connection.send('answer')
    },
  })
  port.come('1')
  port.come('2')
  expect(await isDrained(datagrams)).toBe(false)
  datagrams.stop()
  expect(port.isReading).toBe(false)
  settle[0]?.()
  expect(await isDrained(datagrams)).toBe(false)
  settle[1]?.()
  expect(await isDrained(datagrams)).toBe(false)
  for (const { done } of port.sent) done(null)
  expect(await isDrained(datagrams)).toBe(true)
})

it('one that has no handler and one whose handler fails do not hold up a drain', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const onError = vi.fn()
  const { port, datagrams } = open({ onMessage: () => Promise.reject(new Error('on purpose')), onError })
  port.come('1')
  datagrams.stop()
  expect(await isDrained(datagrams)).toBe(true)
  expect(onError).toHaveBeenCalledTimes(1)
  const idle = open({})
  idle.port.come('1')
  idle.datagrams.stop()
  expect(await isDrained(idle.datagrams)).toBe(true)
})

it('what waits is read before it stops: it stops after a turn of the loop that has brought nothing', async () => {
  const { port, datagrams } = open({ onMessage: () => undefined })
  datagrams.stopWhenRead()
  for (let round = 0; round < 20; round++) {
    port.come('waited')
    expect(port.isReading).toBe(true)
    await turn()
  }
  await turn()
  await turn()
  expect(port.isReading).toBe(false)
  expect(await isDrained(datagrams)).toBe(true)
})

it('what waits is read to its end, also when a part of it takes long', async () => {
  const { port, datagrams, count } = open({
    onMessage: (_connection, data) => {
      const end = performance.now() + Number(data)
      while (performance.now() < end);
    },
  })
  datagrams.stopWhenRead()
  for (const ms of [300, 0, 0, 0, 0, 0, 0, 0, 0]) {
    port.come(String(ms))
    await turn()
    expect(port.isReading).toBe(true)
  }
  await turn()
  await turn()
  expect(port.isReading).toBe(false)
  expect(count()).toBe(9)
})

it('where ever more comes, it stops all the same', async () => {
  const { port, datagrams } = open({ onMessage: () => undefined })
  datagrams.stopWhenRead()
  const begunAt = performance.now()
  while (port.isReading) {
    port.come('more')
    await turn()
  }
  expect(performance.now() - begunAt).toBeGreaterThan(200)
})

it('one that was never opened, or is stopped twice, has nothing to wait for', async () => {
  const { datagrams } = open({})
  datagrams.stop()
  datagrams.stop()
  datagrams.stopWhenRead()
  await turn()
  expect(await isDrained(datagrams)).toBe(true)
  expect(datagrams.cut()).toEqual({ connections: 0, requests: [] })
})

it('a cut counts all that are not done, and names ten of them', () => {
  const { port, datagrams } = open({ onMessage: () => new Promise(() => undefined) })
  for (let number = 1; number <= 12; number++) port.come('x', { port: number })
  const { connections, requests } = datagrams.cut()
  expect(connections).toBe(12)
  expect(requests).toHaveLength(10)
  expect(requests[0]).toBe('a datagram from 10.0.0.2 port 1')
  expect(port.isReading).toBe(false)
})

it.each([
  ['65 508 bytes over IPv4', Buffer.alloc(65_508), { address: '10.0.0.2' }, 'ERR_MESSAGE_TOO_LARGE'],
  [
    '65 508 bytes over IPv4 in an IPv6 socket',
    Buffer.alloc(65_508),
    { address: '::ffff:10.0.0.2' },
    'ERR_MESSAGE_TOO_LARGE',
  ],
  ['65 528 bytes over IPv6', Buffer.alloc(65_528), { address: '::1' }, 'ERR_MESSAGE_TOO_LARGE'],
  ['an answer to a sender without a port', 'x', { port: 0 }, 'ERR_CONNECTION_CLOSED'],
])('%s: send says false, and onError is told why', (_, value, from, code) => {
  const onError = vi.fn()
  let sent: unknown
  const onMessage = (connection: Connection): void => {
    sent = connection.send(value)
  }
  const { port } = open({ onMessage, onError })
  port.come('x', from)
  expect(sent).toBe(false)
  expect(onError).toHaveBeenCalledWith(expect.anything(), expect.objectContaining({ code }))
  expect(port.sent).toEqual([])
})

it('the longest that fit are sent', () => {
  const { port } = open({ onMessage: (connection, data) => connection.send(Buffer.alloc(Number(data))) })
  port.come('65507')
  port.come('65527', { address: '::1' })
  expect(port.sent.map(({ text }) => text.length)).toEqual([65_507, 65_527])
})

it('an answer that the kernel does not take is told to onError; it holds up no drain', async () => {
  const onError = vi.fn()
  const { port, datagrams } = open({ onMessage: (connection) => connection.send('x'), onError })
  port.come('x')
  datagrams.stop()
  port.sent[0]?.done(new Error('no route to host'))
  expect(onError).toHaveBeenCalledWith(expect.anything(), expect.objectContaining({ message: 'no route to host' }))
  expect(await isDrained(datagrams)).toBe(true)
})

it('while too much waits to be sent, an answer is dropped', () => {
  const results: unknown[] = []
  const onError = vi.fn()
  const onMessage = (connection: Connection): void => {
    results.push(connection.send('x'))
  }
  const { port } = open({ onMessage, onError })
  port.come('x')
  port.queuedBytes = 99
  port.come('x')
  port.queuedBytes = 100
  port.come('x')
  expect(results).toEqual([true, null, false])
  expect(onError).toHaveBeenCalledWith(expect.anything(), expect.objectContaining({ code: 'ERR_SEND_BUFFER_FULL' }))
})

it('what opens, closes and slows down other connections does nothing here, and a last word is sent', () => {
  const { port } = open({
    onMessage: (connection) => {
      connection.pause()
      connection.resume()
      connection.end()
      connection.part()
      connection.destroy()
      connection.close('bye')
      connection.ping()
      connection.ping('pong')
    },
  })
  port.come('x')
  expect(port.sent.map(({ text }) => text)).toEqual(['bye', 'pong'])
})

it('a queue that is full is told to be empty to everybody who has filled it, also when the next one fills it again', () => {
  const told: string[] = []
  const connections: Connection[] = []
  const { port } = open({
    onMessage: (connection) => {
      connections.push(connection)
      connection.send('answer')
    },
    onBufferDrain: (connection) => {
      told.push(`${connection.remotePort}`)
      if (told.length > 1) return
      connection.send('more')
    },
  })
  port.bytesPerAnswer = 200
  port.come('1', { port: 1 })
  // it is full: what comes next is answered by nothing, until there is room
  port.queuedBytes = 50
  port.come('2', { port: 2 })
  expect(connections.map(({ isFull }) => isFull)).toEqual([true, true])
  const [first, second] = port.sent
  // behind the first answer is the second
  first?.done(null)
  expect(told).toEqual([])
  port.queuedBytes = 0
  second?.done(null)
  expect(told).toEqual(['1'])
  port.queuedBytes = 0
  port.sent.at(-1)?.done(null)
  expect(told.sort()).toEqual(['1', '1', '2'])
  expect(connections.map(({ isFull }) => isFull)).toEqual([false, false])
})

it('a flood that handlers cannot follow is left in the kernel until half of it is handled', async () => {
  const settle: (() => void)[] = []
  const { port, datagrams } = open({ onMessage: () => new Promise<void>((resolve) => settle.push(resolve)) })
  for (let count = 0; count < 10_000; count++) port.come('x')
  expect(port.isReading).toBe(true)
  port.come('x')
  expect(port.isReading).toBe(false)
  for (const done of settle.splice(0, 5_000)) done()
  await turn()
  expect(port.isReading).toBe(false)
  settle.shift()?.()
  await turn()
  expect(port.isReading).toBe(true)
  const bytes = 'x'.repeat(1024 * 1024)
  for (let count = 0; count < 65; count++) port.come(bytes)
  expect(port.isReading).toBe(false)
  datagrams.stop()
  for (const done of settle) done()
  await turn()
  expect(port.isReading).toBe(false)
})

it('handlers that fail again and again are one entry of the log a second', () => {
  const lines: string[] = []
  vi.useFakeTimers()
  vi.spyOn(console, 'error').mockImplementation((line: string) => void lines.push(line))
  const onError = vi.fn()
  const { port } = open({
    onMessage: () => {
      throw new Error('on purpose')
    },
    onError,
  })
  for (let count = 0; count < 100; count++) port.come('x')
  vi.advanceTimersByTime(1_000)
  vi.useRealTimers()
  vi.restoreAllMocks()
  expect(onError).toHaveBeenCalledTimes(100)
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/onMessage of a udp connection failed: Error: on purpose\n +at /)
  expect(lines[1]).toContain('failed (and 98 more): Error: on purpose\n')
})
