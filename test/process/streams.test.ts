/** One suite for every stream protocol, over every transport: what holds for a connection holds for all of them. */
import { rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { makeCertificate } from '../helpers/certificate.ts'
import type { Target } from '../helpers/client.ts'
import { HELD, heldBytesOf } from '../helpers/held.ts'
import { Peer } from '../helpers/peer.ts'
import { until } from '../helpers/processes.ts'
import { Project, type Running } from '../helpers/project.ts'
import { SPEECHES } from '../helpers/speeches.ts'
import {
  MAX_MESSAGE_BYTES,
  MAX_SEND_BUFFER_BYTES,
  streamApp,
  streamStart,
  TRANSPORTS,
  type Transport,
  targets,
} from '../helpers/streamapp.ts'

interface Who {
  pid: number
  id: string
  protocol: string
  remoteAddress?: string
  localPort?: number
  state: string
  asked: number
  name: string
}

interface State {
  state: string
  isFull: boolean
  isAtRest: boolean
  bytesRead: number
  bufferedBytes: number
}

// nothing in here is waited for long: what hangs is said soon
const PATIENCE_MS = 20_000

/** Ids of all processes of all projects. */
const ids = new Set<string>()
let asked = 0

describe.each(SPEECHES)('$name', (speech) => {
  let project: Project
  let running: Running
  let places: Record<Transport, Target>
  const pids = new Map<Transport, number>()
  let names = 0

  beforeAll(async () => {
    project = new Project({ 'start.js': HELD + streamStart(speech), 'app.js': streamApp() })
    makeCertificate(project)
    running = await project.start()
    places = await targets(project)
    for (const transport of TRANSPORTS) pids.set(transport, (await project.pids(transport))[0] ?? 0)
  })
  afterAll(async () => {
    await project.end()
    rmSync(project.root, { recursive: true, force: true })
  })

  describe.each(TRANSPORTS)('%s', (transport) => {
    const open = async (): Promise<Peer> => {
      const peer = await Peer.open(speech, places[transport], PATIENCE_MS)
      onTestFinished(() => peer.destroy())
      return peer
    }

    /** A connection with a name, and another one that is asked about it. */
    const openNamed = async (): Promise<Named> => {
      const [peer, other] = [await open(), await open()]
      const name = `n${names++}`
      await peer.ask(`name ${name}`)
      return {
        peer,
        other,
        name,
        told: () => other.askJson<string[]>(`told ${name}`),
        toldAll: async (what) => {
          let told: string[] = []
          await until(`${name} is told ${what.at(-1)}`, async () => {
            told = await other.askJson<string[]>(`told ${name}`)
            return told.includes(what.at(-1) ?? '')
          })
          expect(told).toEqual(what)
        },
        state: () => other.askJson<State>(`state ${name}`),
      }
    }

    const heldBytes = (): Promise<number> => heldBytesOf(project, pids.get(transport) ?? 0)

    const expectUndisturbed = async (other: Peer): Promise<void> => {
      expect((await other.askJson<Who>('who')).pid).toBe(pids.get(transport))
    }

    it('echo', async () => {
      const peer = await open()
      for (const message of ['hello', 'grüße €', ' ', 'a\tb', 'x'.repeat(50_000), ...(speech.isBounded ? [''] : [])])
        expect(await peer.ask(message)).toBe(message)
    })

    it('messages are answered in their order, many in one packet, too', async () => {
      const peer = await open()
      const messages = Array.from({ length: 2_000 }, (_, index) => `message ${index}`)
      peer.send(...messages)
      expect(await peer.many(2_000)).toEqual(messages)
    })

    it('a message may come byte by byte', async () => {
      const peer = await open()
      for (const byte of Buffer.concat([speech.encode('grüße'), speech.encode('€'), speech.encode('last')])) {
        peer.write(Buffer.of(byte))
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(await peer.many(3)).toEqual(['grüße', '€', 'last'])
    })

    it.skipIf(!speech.isBounded)('a message may have maxMessageBytes, and not one more', async () => {
      const { peer, other, toldAll } = await openNamed()
      peer.write(speech.sized(MAX_MESSAGE_BYTES))
      expect((await peer.next()).length).toBeGreaterThan(MAX_MESSAGE_BYTES - 20)
      peer.write(Buffer.concat([speech.encode('before'), speech.sized(MAX_MESSAGE_BYTES + 1), speech.encode('after')]))
      expect(await peer.rest()).toEqual({ messages: ['before'], ending: 'end' })
      peer.end()
      await toldAll(['heard xxxxxxxxxxxxxxxxxxxx', 'heard before', 'error ERR_MESSAGE_TOO_LARGE', 'closed'])
      await expectUndisturbed(other)
    })

    it.skipIf(!speech.isBounded)('what makes no sense costs its own connection its life', async () => {
      const { peer, other, name, told } = await openNamed()
      peer.write(Buffer.concat([speech.encode('before'), speech.garbage]))
      expect(await peer.rest()).toEqual({ messages: ['before'], ending: 'end' })
      peer.end()
      await until('it is closed', async () => (await told()).includes('closed'))
      const [heard, error, ...rest] = await told()
      expect({ name, heard, error, rest }).toEqual({
        name,
        heard: 'heard before',
        error: expect.stringMatching(speech.complaint),
        rest: ['closed'],
      })
      await expectUndisturbed(other)
    })

    it.skipIf(!speech.hasHalves)(
      'a client that ends after its last message still gets its answers, those of slow handlers, too',
      async () => {
        const { peer, other, name, toldAll } = await openNamed()
        peer.send('first', `wait ${name}`, 'last')
        peer.end()
        expect(await peer.next()).toBe('first')
        await other.ask(`open ${name}`)
        expect(await peer.rest()).toEqual({ messages: [`waited ${name}`, 'last'], ending: 'end' })
        await toldAll(['heard first', 'waits', 'heard last', 'closed'])
      },
    )

    it('a client that reads slowly is slowed down, loses nothing, and costs no memory', async () => {
      const { peer, other, told, state } = await openNamed()
      await peer.ask('slows')
      const message = 'x'.repeat(60_000)
      const count = 600
      const before = await heldBytes()
      peer.socket.pause()
      const sent = sendSlowly(peer.socket, speech.encode(message), count)
      await until('it is full, and read no more', async () => {
        const { isFull, bytesRead } = await state()
        return isFull && (await state()).bytesRead === bytesRead
      })
      const { bufferedBytes } = await state()
      expect(bufferedBytes).toBeLessThan(MAX_SEND_BUFFER_BYTES + 2 * 60_100)
      expect((await heldBytes()) - before).toBeLessThan(4 * 1024 * 1024)
      peer.socket.resume()
      await sent
      expect(new Set(await peer.many(count))).toEqual(new Set([message]))
      await until('it is drained', async () => !(await state()).isFull)
      expect((await told()).filter((what) => /^error/.test(what))).toEqual([])
      expect((await told()).filter((what) => what === 'full').length).toBe(
        (await told()).filter((what) => what === 'drained').length,
      )
      await expectUndisturbed(other)
    })

    it('a handler that takes its time keeps the order, slows its client down, and costs no memory', async () => {
      const { peer, other, name, state } = await openNamed()
      // its answers come faster than they are taken
      await peer.ask('slows')
      const before = await heldBytes()
      peer.send(`wait ${name}`)
      const sent = sendSlowly(peer.socket, speech.encode('x'.repeat(60_000)), 600)
      await until('it is read no more', async () => {
        const { bytesRead } = await state()
        return bytesRead > 60_000 && (await state()).bytesRead === bytesRead && peer.socket.writableLength > 0
      })
      expect((await state()).bytesRead).toBeLessThan(2 * 1024 * 1024)
      expect((await heldBytes()) - before).toBeLessThan(4 * 1024 * 1024)
      await other.ask(`open ${name}`)
      await sent
      const [first, ...rest] = await peer.many(601)
      expect({ first, lengths: new Set(rest.map((message) => message.length)) }).toEqual({
        first: `waited ${name}`,
        lengths: new Set([60_000]),
      })
    })

    it('close: what was sent before is delivered, nothing is handled any more, send says false', async () => {
      const { peer, toldAll } = await openNamed()
      peer.send('before', 'close', 'after')
      expect(await peer.rest()).toEqual({ messages: ['before', 'bye'], ending: 'end' })
      peer.end()
      await toldAll(['heard before', 'error ERR_CONNECTION_CLOSED', 'late false', 'closed'])
    })

    it('a client that closes at once, or breaks off in the middle of a message, disturbs nobody', async () => {
      const { peer, other, name, told } = await openNamed()
      const half = speech.encode('broken off')
      peer.write(half.subarray(0, half.length - 1))
      if (transport === 'plain') peer.socket.resetAndDestroy()
      else peer.destroy()
      await until('it is closed', async () => (await told()).includes('closed'))
      expect({ name, told: (await told()).filter((what) => what !== 'error ECONNRESET') }).toEqual({
        name,
        told: ['closed'],
      })
      await expectUndisturbed(other)
    })

    it.skipIf(!speech.hasHalves)('end: no more is sent, and what the client still says is handled', async () => {
      const { peer, toldAll } = await openNamed()
      peer.send('end')
      expect(await peer.rest()).toEqual({ messages: ['last'], ending: 'end' })
      peer.send('still')
      peer.end()
      await toldAll([
        'error ERR_CONNECTION_CLOSED',
        'late false',
        'heard still',
        'error ERR_CONNECTION_CLOSED',
        'closed',
      ])
    })

    it('destroy closes at once', async () => {
      const { peer, toldAll } = await openNamed()
      peer.send('destroy', 'after')
      expect((await peer.rest()).messages).toEqual([])
      await toldAll(['closed'])
    })

    it('pause: nothing is handled until resume, and then everything in its order', async () => {
      const { peer, other, name, told, toldAll } = await openNamed()
      expect(await peer.ask(`pause ${name}`)).toBe('paused')
      peer.send('1', '2')
      peer.send('3')
      await other.ask('a turn')
      expect(await told()).toEqual([])
      await other.ask(`open ${name}`)
      expect(await peer.many(3)).toEqual(['1', '2', '3'])
      await toldAll(['heard 1', 'heard 2', 'heard 3'])
    })

    it.each(['throw', 'reject'])(
      'a handler that fails (%s): onError, a line in the log, that connection, and nobody else',
      async (word) => {
        const { peer, other, toldAll } = await openNamed()
        const failure = word === 'throw' ? 'thrown' : 'rejected'
        const already = running.stderr.length
        peer.send('before', word, 'after')
        expect(await peer.rest()).toEqual({ messages: ['before'], ending: 'end' })
        peer.end()
        await toldAll(['heard before', `error ${failure}`, 'closed'])
        await expectUndisturbed(other)
        await running.line(
          new RegExp(
            `onMessage of a ${speech.schemes[transport].replace('+', '\\+')} connection failed: Error: ${failure}\n +at `,
          ),
        )
        expect(running.stderr.slice(already).match(/onMessage of a \S+ connection failed: Error/g)).toHaveLength(1)
      },
    )

    it('messages wait while onConnect takes its time', async () => {
      const other = await open()
      await other.ask('hold')
      const peer = await open()
      peer.send('1', '2')
      await other.ask('a turn')
      expect(peer.received).toEqual([])
      await other.ask('open connect')
      expect(await peer.many(2)).toEqual(['1', '2'])
    })

    it('a full send buffer: onBufferFull, what is sent is dropped and onError told; onBufferDrain when it is empty', async () => {
      const { peer, toldAll } = await openNamed()
      peer.socket.pause()
      peer.send('fill')
      peer.socket.resume()
      await toldAll(['full', 'error ERR_SEND_BUFFER_FULL', 'dropped false', 'drained'])
      // what the kernel has taken is on its way
      await peer.many(2)
      expect(new Set(peer.received.slice(1))).toEqual(new Set(['x'.repeat(10_000)]))
    })

    it('a connection may have hooks of its own', async () => {
      const { peer, other, toldAll } = await openNamed()
      expect(await peer.ask('own')).toBe('owned')
      expect(await peer.ask('hello')).toBe('own hello')
      expect(await other.ask('hello')).toBe('hello')
      peer.end()
      await toldAll(['own closed'])
    })

    it('pipe, both ways: what each says the other gets, and an end, too', async () => {
      const { peer: front, name } = await openNamed()
      const back = await open()
      expect(await back.ask(`pipe ${name}`)).toBe('piped')
      front.send('question 1', 'question 2')
      expect(await back.many(2)).toEqual(['question 1', 'question 2'])
      back.send('answer')
      expect(await front.next()).toBe('answer')
      if (!speech.hasHalves) {
        front.end()
        expect((await back.rest()).ending).toBe('end')
        return
      }
      front.send('last question')
      front.end()
      expect(await back.rest()).toEqual({ messages: ['last question'], ending: 'end' })
      back.send('last answer')
      back.end()
      expect(await front.rest()).toEqual({ messages: ['last answer'], ending: 'end' })
    })

    it('says who it is, and has an id and a context of its own', async () => {
      const peers = await Promise.all(Array.from({ length: 20 }, open))
      for (const peer of peers) {
        const who = await peer.askJson<Who>('who')
        expect(who).toMatchObject({ protocol: speech.schemes[transport], name: transport, asked: 1, state: 'open' })
        expect(who.remoteAddress).toBe(transport === 'unix' ? undefined : '127.0.0.1')
        ids.add(who.id)
        asked++
      }
      expect(ids.size).toBe(asked)
    })
  })

  it('and after all of it the workers are the same', async () => {
    for (const transport of TRANSPORTS) expect(await project.pids(transport)).toEqual([pids.get(transport)])
  })
})

interface Named {
  peer: Peer
  other: Peer
  name: string
  /** What hooks were told of the named connection. */
  told: () => Promise<string[]>
  /** Waits until the last of these was told; they must be all. */
  toldAll: (what: readonly string[]) => Promise<void>
  state: () => Promise<State>
}

/** As fast as the other side takes it, so that this process holds little. */
async function sendSlowly(socket: Socket, bytes: Buffer, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent++)
    if (!socket.write(bytes)) await new Promise<void>((resolve) => socket.once('drain', resolve))
}
