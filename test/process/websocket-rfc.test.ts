/** RFC 6455 and RFC 7692 frame by frame, over bare sockets against a real worker. */
import { createHash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Client } from '../helpers/client.ts'
import { closeFrame, type Frame, FrameClient, frame, HANDSHAKE, OPCODES, type OpenOptions } from '../helpers/frames.ts'
import { until } from '../helpers/processes.ts'
import { Project } from '../helpers/project.ts'

const MAX_BYTES = 200_000

/** Sends each message back, as what it was. */
const START = `
import { Worker } from 'shiftwork'
const echo = (options) => {
  const worker = new Worker('websocket://127.0.0.1:0', { bakeMs: 50, maxMessageBytes: ${MAX_BYTES}, ...options })
  worker.onMessage = (connection, message) => {
    connection.send(message)
  }
}
echo({ name: 'web' })
echo({ name: 'small', webSocket: { compression: { thresholdBytes: 100 } } })
Worker.runAll()
`

let project: Project
let port = 0
let compressingPort = 0
let pids: number[] = []
const open: FrameClient[] = []

beforeAll(async () => {
  project = new Project({ 'start.js': START })
  await project.start()
  port = await project.port()
  compressingPort = await project.port('small')
  pids = [...(await project.pids()), ...(await project.pids('small'))]
})

afterAll(async () => {
  for (const client of open) client.close()
  expect([...(await project.pids()), ...(await project.pids('small'))]).toEqual(pids)
  await project.end()
  rmSync(project.root, { recursive: true, force: true })
})

async function client(options: OpenOptions = {}, to = port): Promise<FrameClient> {
  const opened = await FrameClient.open({ port: to }, options)
  open.push(opened)
  return opened
}

/** What a client hears who has sent this: the code of the close frame, and that no reset came. */
async function farewellTo(...bytes: Uint8Array[]): Promise<number | null> {
  const odd = await client()
  odd.write(...bytes)
  const { code, end } = await odd.farewell()
  expect(end).toBe('closed')
  return code
}

/** These bytes are of no consequence for others, and this is what they come to. */
function refuses(what: string, code: number, ...bytes: Uint8Array[]): void {
  it(`${what}: ${code}`, async () => {
    const other = await client()
    expect(await farewellTo(...bytes)).toBe(code)
    other.send('still there?')
    expect(await other.text()).toBe('still there?')
    other.close()
  })
}

function plain({ opcode, payload }: Frame): [number, string] {
  return [opcode, payload.toString()]
}

describe('the handshake', () => {
  it('is answered with the accept key of the standard', async () => {
    const { answer } = await client()
    const accept = createHash('sha1').update(`${HANDSHAKE['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    expect(answer.headers.get('sec-websocket-accept')).toBe(accept.digest('base64'))
    expect(answer.headers.get('upgrade')).toBe('websocket')
    expect(answer.headers.get('connection')).toBe('Upgrade')
    expect(answer.headers.has('sec-websocket-extensions')).toBe(false)
    expect(answer.headers.has('sec-websocket-protocol')).toBe(false)
  })

  const { 'Sec-WebSocket-Key': _key, ...keyless } = HANDSHAKE
  const { 'Sec-WebSocket-Version': _version, ...versionless } = HANDSHAKE
  it.each([
    ['another version', 400, 'GET', { ...HANDSHAKE, 'Sec-WebSocket-Version': '12' }],
    ['no version', 400, 'GET', versionless],
    ['a key that is no key', 400, 'GET', { ...HANDSHAKE, 'Sec-WebSocket-Key': 'short' }],
    ['no key', 400, 'GET', keyless],
    ['another method', 405, 'POST', HANDSHAKE],
    ['another protocol', 400, 'GET', { ...HANDSHAKE, Upgrade: 'echo' }],
    ['a subprotocol that is no token', 400, 'GET', { ...HANDSHAKE, 'Sec-WebSocket-Protocol': 'a,,b' }],
    ['no upgrade at all', 426, 'GET', {}],
  ])('%s: %i', async (_what, status, method, headers) => {
    const odd = await Client.open({ port })
    const answer = await odd.request({ method, headers: headers as Record<string, string> })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('connection')).toContain('close')
    if (status === 426) expect(answer.headers.get('upgrade')).toBe('websocket')
    odd.close()
  })

  it('a version that is not spoken is told which is', async () => {
    const odd = await Client.open({ port })
    const { headers } = await odd.request({ headers: { ...HANDSHAKE, 'Sec-WebSocket-Version': '12' } })
    expect(headers.get('sec-websocket-version')).toContain('13')
    odd.close()
  })

  it('frames that came in one packet with it are read', async () => {
    const eager = await Client.open({ port })
    const head = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`)
    const hello = frame(OPCODES.text, 'at once')
    eager.socket.write(Buffer.concat([Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${head.join('')}\r\n`), hello]))
    let heard = ''
    eager.socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
    })
    await until('it is answered', () => heard.endsWith('at once'))
    eager.close()
  })
})

describe('messages', () => {
  it.each([0, 1, 125, 126, 65_535, 65_536, MAX_BYTES])('text and bytes of %i come back as they are', async (length) => {
    const peer = await client()
    const text = 'ä'.repeat(length / 2) + 'a'.repeat(length % 2)
    const bytes = Buffer.alloc(length, 'bytes \0\xff')
    peer.send(text)
    peer.send(bytes)
    expect(plain(await peer.next())).toEqual([OPCODES.text, text])
    expect(await peer.next()).toEqual({ isFinal: true, reserved: 0, opcode: OPCODES.binary, payload: bytes })
    peer.close()
  })

  it('come whole out of fragments, with pings between and inside them, byte by byte', async () => {
    const peer = await client()
    const bytes = Buffer.concat([
      frame(OPCODES.text, 'one ', { isFinal: false }),
      frame(OPCODES.ping, 'between'),
      frame(OPCODES.more, 'two ', { isFinal: false }),
      frame(OPCODES.more, '', { isFinal: false }),
      frame(OPCODES.pong, 'unasked'),
      frame(OPCODES.more, 'three'),
    ])
    for (const byte of bytes) peer.write(Buffer.of(byte))
    expect([await peer.next(), await peer.next()].map(plain)).toEqual([
      [OPCODES.pong, 'between'],
      [OPCODES.text, 'one two three'],
    ])
    peer.close()
  })

  it('a letter may be cut by fragments', async () => {
    const peer = await client()
    const letter = Buffer.from('€')
    for (const [index, byte] of letter.entries())
      peer.write(frame(index === 0 ? OPCODES.text : OPCODES.more, Buffer.of(byte), { isFinal: index === 2 }))
    expect(await peer.text()).toBe('€')
    peer.close()
  })

  it('a ping of 125 bytes is answered with the same, and pongs with nothing', async () => {
    const peer = await client()
    const payload = Buffer.alloc(125, 'ping')
    peer.write(frame(OPCODES.pong, 'nobody asked'), frame(OPCODES.ping, payload), frame(OPCODES.ping))
    expect([await peer.next(), await peer.next()].map(plain)).toEqual([
      [OPCODES.pong, payload.toString()],
      [OPCODES.pong, ''],
    ])
    peer.close()
  })
})

describe('what makes no sense is refused, and nobody else notices', () => {
  refuses('a frame without a mask', 1002, frame(OPCODES.text, 'bare', { isMasked: false }))
  for (const reserved of [1, 2, 4, 7])
    refuses(`reserved bits ${reserved}`, 1002, frame(OPCODES.text, 'odd', { reserved }))
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) refuses(`opcode ${opcode}`, 1002, frame(opcode, 'odd'))
  refuses('more of nothing', 1002, frame(OPCODES.more, 'more'))
  refuses(
    'a message within a message',
    1002,
    frame(OPCODES.text, 'one', { isFinal: false }),
    frame(OPCODES.text, 'another'),
  )
  refuses('a ping in fragments', 1002, frame(OPCODES.ping, 'p', { isFinal: false }))
  refuses('a close in fragments', 1002, frame(OPCODES.close, '', { isFinal: false }))
  refuses('a ping of 126 bytes', 1002, frame(OPCODES.ping, Buffer.alloc(126)))
  refuses('a close frame of 126 bytes', 1002, closeFrame(1000, 'x'.repeat(124)))
  refuses('text that is no UTF-8', 1007, frame(OPCODES.text, Buffer.of(0x61, 0xff)))
  refuses('a surrogate', 1007, frame(OPCODES.text, Buffer.of(0xed, 0xa0, 0x80)))
  refuses('a letter that is not whole', 1007, frame(OPCODES.text, Buffer.of(0xe2, 0x82)))
  refuses(
    'text that is no UTF-8 by its fragments',
    1007,
    frame(OPCODES.text, Buffer.of(0xe2, 0x82), { isFinal: false }),
    frame(OPCODES.more, 'a'),
  )
  refuses('a message that is too large', 1009, frame(OPCODES.binary, Buffer.alloc(MAX_BYTES + 1)))
  refuses('one that only says so', 1009, frame(OPCODES.binary, 'short', { length: MAX_BYTES + 1 }))
  refuses('one that says 2^60 bytes', 1009, frame(OPCODES.binary, 'short', { length: 2 ** 60 }))
  refuses(
    'one that is too large by its fragments',
    1009,
    frame(OPCODES.binary, Buffer.alloc(MAX_BYTES), { isFinal: false }),
    frame(OPCODES.more, 'x'),
  )
  refuses(
    'one of more fragments than anybody needs',
    1008,
    frame(OPCODES.text, '', { isFinal: false }),
    ...Array.from({ length: 20_000 }, () => frame(OPCODES.more, '', { isFinal: false })),
  )
})

describe('the end', () => {
  it.each([1000, 1001, 1003, 1007, 1008, 1011, 1012, 3000, 4000, 4999])('%i is answered with itself', async (code) => {
    expect(await farewellTo(closeFrame(code, 'so long'))).toBe(code)
  })

  it('a close frame without a code is answered with one without a code', async () => {
    expect(await farewellTo(frame(OPCODES.close))).toBe(1005)
  })

  it.each([0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])(
    '%i is no code: 1002',
    async (code) => {
      expect(await farewellTo(closeFrame(code))).toBe(1002)
    },
  )

  it('a close frame of one byte: 1002', async () => {
    expect(await farewellTo(frame(OPCODES.close, 'x'))).toBe(1002)
  })

  it('a reason that is no UTF-8: 1007', async () => {
    expect(await farewellTo(closeFrame(1000, Buffer.of(0xff)))).toBe(1007)
  })

  it('what comes behind a close frame is not read', async () => {
    const peer = await client()
    peer.write(frame(OPCODES.text, 'before'), closeFrame(1000), frame(OPCODES.text, 'behind'), frame(3, 'garbage'))
    expect(await peer.farewell()).toEqual({ code: 1000, reason: '', end: 'closed', unread: 0 })
    expect(peer.frames.map(({ opcode }) => opcode)).toEqual([OPCODES.text, OPCODES.close])
  })
})

/** One message as the extension has it: deflated, and without the tail that every one would have. */
function deflate(text: string | Buffer): Buffer {
  return deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
}

function inflate(payload: Buffer): string {
  const tail = Buffer.of(0, 0, 0xff, 0xff)
  return inflateRawSync(Buffer.concat([payload, tail]), { finishFlush: constants.Z_SYNC_FLUSH }).toString()
}

const OFFER = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }

describe('compression', () => {
  it('is agreed on without a context that is kept, by who offers it, and only where it is wanted', async () => {
    const extension = async (to: number, headers = {}): Promise<string | undefined> =>
      (await client({ headers }, to)).answer.headers.get('sec-websocket-extensions')
    expect(await extension(port, OFFER)).toBeUndefined()
    expect(await extension(compressingPort)).toBeUndefined()
    const agreed = (await extension(compressingPort, OFFER))?.split('; ').sort()
    expect(agreed).toEqual(['client_no_context_takeover', 'permessage-deflate', 'server_no_context_takeover'])
  })

  it('compresses what is long enough, each message by itself, and reads both', async () => {
    const peer = await client({ headers: OFFER }, compressingPort)
    const long = 'a long message '.repeat(100)
    for (let round = 0; round < 3; round++) {
      peer.write(frame(OPCODES.text, deflate(long), { reserved: 4 }), frame(OPCODES.text, 'short'))
      const first = await peer.next()
      expect({ reserved: first.reserved, text: inflate(first.payload) }).toEqual({ reserved: 4, text: long })
      expect(await peer.next()).toMatchObject({ reserved: 0, payload: Buffer.from('short') })
    }
    const halves = [deflate(long).subarray(0, 20), deflate(long).subarray(20)]
    peer.write(frame(OPCODES.text, halves[0], { reserved: 4, isFinal: false }), frame(OPCODES.more, halves[1]))
    expect(inflate((await peer.next()).payload)).toBe(long)
    peer.close()
  })

  it('garbage in place of it: 1007, and no UTF-8 in it: 1007', async () => {
    for (const payload of [Buffer.alloc(100, 0xff), deflate(Buffer.alloc(200, 0xff))]) {
      const peer = await client({ headers: OFFER }, compressingPort)
      peer.write(frame(OPCODES.text, payload, { reserved: 4 }))
      expect(await peer.farewell()).toMatchObject({ code: 1007, end: 'closed' })
    }
  })

  it('a bomb is refused before it is large: 1009', async () => {
    const [pid = 0] = await project.pids('small')
    // as ever more of it, the peak that the process has had
    const peakKb = (): number => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
    const bomb = deflate(Buffer.alloc(190_000_000))
    expect(bomb.length).toBeLessThan(MAX_BYTES)
    const before = peakKb()
    for (let round = 0; round < 5; round++) {
      const peer = await client({ headers: OFFER }, compressingPort)
      peer.write(frame(OPCODES.binary, bomb, { reserved: 4 }))
      expect(await peer.farewell()).toMatchObject({ code: 1009, end: 'closed' })
    }
    expect(peakKb() - before).toBeLessThan(64 * 1024)
  })
})
