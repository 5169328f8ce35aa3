/** Goodbye to WebSockets, with real servers and raw clients: whose bytes come out, and what is left as it was. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { Upgrades } from '../../../src/protocols/upgrades.ts'

const GOODBYE = '\x88\x02\x03\xf4'
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\n\r\n'
const ASK = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n'

async function listening(server: Server): Promise<Socket> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('latin1')
  onTestFinished(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  return client
}

/** A server whose code has answered the handshake, the server's end of it, and all that the client was sent. */
async function upgraded(answer = SWITCH): Promise<{ upgrades: Upgrades; server: Socket; text: () => Promise<string> }> {
  const web = createServer()
  const upgrades = new Upgrades()
  upgrades.watch(web)
  let end: Socket | null = null
  web.on('upgrade', (_request: IncomingMessage, socket: Socket) => {
    end = socket
    socket.write(answer)
  })
  const client = await listening(web)
  let text = ''
  client.on('data', (chunk) => {
    text += String(chunk)
  })
  client.write(ASK)
  await once(client, 'data')
  const server = end as unknown as Socket
  return {
    upgrades,
    server,
    text: async () => {
      server.end()
      await once(client, 'end')
      return text.slice(answer.length)
    },
  }
}

it('comes between two frames of user code; what follows it is dropped, and is told to be written', async () => {
  const { upgrades, server, text } = await upgraded()
  server.write('\x81\x01a', 'latin1')
  upgrades.partWithAll(0)
  await new Promise<void>((resolve) => server.write('\x81\x01b', 'latin1', () => resolve()))
  await new Promise<void>((resolve) => server.write(Buffer.from('more'), () => resolve()))
  upgrades.partWithAll(0)
  expect(await text()).toBe(`\x81\x01a${GOODBYE}`)
})

it('waits for the end of a frame that is half written, and of the turn', async () => {
  const { upgrades, server, text } = await upgraded()
  server.write('\x81\x02a', 'latin1')
  upgrades.partWithAll(0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  server.write('b')
  server.write('\x81\x01c', 'latin1')
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await text()).toBe(`\x81\x02ab\x81\x01c${GOODBYE}`)
})

it('is not said to one that was refused, has said goodbye itself, or is ended', async () => {
  const refused = await upgraded('HTTP/1.1 403 Forbidden\r\n\r\n')
  refused.upgrades.partWithAll(0)
  expect(await refused.text()).toBe('')
  const closed = await upgraded()
  closed.server.write('\x88\x00', 'latin1')
  closed.upgrades.partWithAll(0)
  expect(await closed.text()).toBe('\x88\x00')
  const ended = await upgraded()
  ended.server.end()
  ended.upgrades.partWithAll(0)
})

it('is said at once to one that is upgraded afterwards', async () => {
  const web = createServer()
  const upgrades = new Upgrades()
  upgrades.watch(web)
  web.on('upgrade', (_request: IncomingMessage, socket: Socket) => {
    socket.write(SWITCH)
    setTimeout(() => socket.end(), 20)
  })
  upgrades.partWithAll(1_000)
  const client = await listening(web)
  client.write(ASK)
  let text = ''
  for await (const chunk of client) text += String(chunk)
  expect(text).toBe(SWITCH + GOODBYE)
})

it('a server that takes no upgrades is asked as if nobody watched: the request is answered', async () => {
  const web = createServer((_request, response) => response.end('plain'))
  new Upgrades().watch(web)
  expect(web.listenerCount('upgrade')).toBe(0)
  const client = await listening(web)
  client.write(ASK)
  expect(String((await once(client, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
})

it('an emit of the server itself, or of its prototype when that is patched later, still sees the events', async () => {
  const seen: string[] = []
  const spyOn = (holder: object): void => {
    const { emit } = holder as Server
    const spy = function (this: Server, ...args: unknown[]): boolean {
      seen.push(String(args[0]))
      return Reflect.apply(emit, this, args) as boolean
    }
    Object.assign(holder, { emit: spy })
    onTestFinished(() => {
      Object.assign(holder, { emit })
    })
  }
  const own = createServer()
  const plain = createServer()
  spyOn(own)
  for (const web of [own, plain]) new Upgrades().watch(web)
  own.emit('one')
  spyOn(Object.getPrototypeOf(plain) as object)
  plain.emit('two')
  expect(seen).toEqual(['one', 'two'])
})
