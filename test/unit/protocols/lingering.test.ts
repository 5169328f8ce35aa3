/** What a drain closes of the connections that linger, and when: servers that do not listen, sockets that are none. */
import { createServer, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { createServer as createTcp, type Server as NetServer, type Socket } from 'node:net'
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { Lingering } from '../../../src/protocols/lingering.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate', 'performance'] })
  return () => vi.useRealTimers()
})

class Stage {
  readonly closed: string[] = []
  readonly lingering: Lingering
  readonly #sockets: { socket: Socket; since: number }[] = []
  readonly #unsecured: { socket: Socket; since: number }[] = []

  constructor(server: NetServer) {
    this.lingering = new Lingering({
      servers: new Set([server]),
      socketsOf: () => this.#sockets,
      unsecuredOf: () => this.#unsecured,
    })
    onTestFinished(() => this.lingering.end())
    if ('closeIdleConnections' in server)
      Object.assign(server, { closeIdleConnections: () => void this.closed.push('idle') })
  }

  accept(name: string, bytesRead: number, isSecured = true): void {
    const destroy = (): void => void this.closed.push(name)
    const opened = { socket: { bytesRead, destroy } as unknown as Socket, since: performance.now() }
    this.#sockets.push(opened)
    if (!isSecured) this.#unsecured.push(opened)
  }

  /** What was closed within so long. */
  after(ms: number): string[] {
    vi.advanceTimersByTime(ms)
    return [...new Set(this.closed.splice(0))]
  }
}

function web(keepAliveTimeout: number, server: Server = createServer()): Server {
  return Object.assign(server, { keepAliveTimeout })
}

it('the silent are closed after the time of their server, who came later later, and idle ones are left to it', () => {
  const stage = new Stage(web(1_000))
  stage.accept('silent', 0)
  stage.accept('asked', 10)
  stage.lingering.begin()
  stage.lingering.begin()
  expect(stage.after(500)).toEqual([])
  stage.accept('late', 0)
  expect(stage.after(600)).toEqual(['silent'])
  expect(stage.after(500)).toEqual(['silent', 'late'])
})

it('an order closes the idle ones too, when its time is over, however long the server would keep them', () => {
  const stage = new Stage(web(60_000))
  stage.accept('silent', 0)
  stage.lingering.endWithin(1_000)
  stage.lingering.begin()
  expect(stage.after(900)).toEqual([])
  expect(stage.after(200)).toEqual(['idle', 'silent'])
})

it('a second order shortens the first, and lengthens none', () => {
  const stage = new Stage(web(60_000))
  stage.lingering.endWithin(5_000)
  stage.lingering.begin()
  expect(stage.after(1_000)).toEqual([])
  stage.lingering.endWithin(500)
  stage.lingering.endWithin(9_000)
  expect(stage.after(400)).toEqual([])
  expect(stage.after(300)).toEqual(['idle'])
})

it('nothing is closed after the end, and all of it again when it begins again', () => {
  const stage = new Stage(web(1_000))
  stage.accept('silent', 0)
  stage.lingering.begin()
  stage.lingering.end()
  expect(stage.after(5_000)).toEqual([])
  stage.lingering.begin()
  expect(stage.after(900)).toEqual([])
  expect(stage.after(200)).toEqual(['silent'])
})

it('a server that keeps its idle connections for ever keeps them for five seconds', () => {
  const stage = new Stage(web(0))
  stage.lingering.begin()
  expect(stage.after(4_900)).toEqual([])
  expect(stage.after(200)).toEqual(['idle'])
})

it('who has begun a handshake of TLS and stopped is closed, too; who has asked is not', () => {
  const stage = new Stage(web(1_000, createHttps()))
  stage.accept('half a handshake', 5, false)
  stage.accept('asked', 500)
  stage.lingering.begin()
  expect(stage.after(1_100)).toEqual(['half a handshake'])
})

it('of a server that speaks neither HTTP nor TLS nothing is closed', () => {
  const stage = new Stage(createTcp())
  stage.accept('silent', 0)
  stage.lingering.begin()
  expect(stage.after(60_000)).toEqual([])
})
