/** The sentence that says who has an address, and what to do about it. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { parseAddress } from '../../../src/address.ts'
import { type Holder, holderHint, holderOf, holderText, isHeldByOthers } from '../../../src/ipc/holder.ts'
import { temporaryDirectory } from '../tempdir.ts'

const OURS = { pid: 4711, startFile: '/srv/app/start.ts', stateDir: '/srv/app/.shiftwork/start.ts' }
const STOP = 'Stop what listens there, or choose another address.'

it.each<[Holder, string, string]>([
  [
    { kind: 'master', ...OURS },
    'the Shiftwork master of /srv/app/start.ts (pid 4711)',
    'shiftwork stop /srv/app/start.ts ends it; or choose another address.',
  ],
  [
    { kind: 'master', ...OURS, stateDir: '/run/app' },
    'the Shiftwork master of /srv/app/start.ts (pid 4711)',
    'shiftwork stop /srv/app/start.ts --state-dir /run/app ends it; or choose another address.',
  ],
  [
    { kind: 'orphan', worker: 'web/0', ...OURS },
    'web/0 (pid 4711), which a killed Shiftwork master of /srv/app/start.ts has left',
    'shiftwork stop --force /srv/app/start.ts ends it; or choose another address.',
  ],
  [{ kind: 'program', pid: 12, name: 'nginx', user: 'www-data' }, 'nginx of user www-data (pid 12)', STOP],
  [{ kind: 'program', pid: 12, name: 'nginx', user: null }, 'nginx (pid 12)', STOP],
  [{ kind: 'hidden', user: 'root' }, 'a process of user root', STOP],
])('%j', (holder, text, hint) => {
  expect(holderText(holder)).toBe(text)
  expect(holderHint(holder)).toBe(hint)
})

it('of nobody that can be found, the advice is the same', () => {
  expect(holderHint(null)).toBe(STOP)
})

it.runIf(process.platform === 'linux').each(['http://127.0.0.1:0', 'http+unix://'])(
  'finds this process where it listens, and nobody where nobody does: %s',
  async (kind) => {
    const path = join(temporaryDirectory(), 'a b.sock')
    const isUnix = kind.includes('unix')
    const server = createServer().listen(isUnix ? { path } : { port: 0, host: '127.0.0.1' })
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const bound = server.address()
    const port = typeof bound === 'object' && bound ? bound.port : 0
    const address = parseAddress(isUnix ? `http+unix://${path}` : `http://127.0.0.1:${port}`)
    expect(holderOf(address)).toMatchObject({ kind: 'program', pid: process.pid, name: 'node' })
    expect(isHeldByOthers(address, [process.ppid, process.pid])).toBe(false)
    expect(isHeldByOthers(address, [process.ppid])).toBe(true)
    await new Promise((resolve) => server.close(resolve))
    expect(holderOf(address)).toBeNull()
    expect(isHeldByOthers(address, [process.ppid])).toBe(false)
  },
)

it.runIf(process.platform === 'linux')('tells the two kinds of ports apart', async () => {
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  expect(holderOf(parseAddress(`udp://127.0.0.1:${port}`))).toMatchObject({ kind: 'program', pid: process.pid })
  const other = holderOf(parseAddress(`http://127.0.0.1:${port}`))
  expect(other?.kind === 'program' && other.pid === process.pid).toBe(false)
})

it.runIf(process.platform === 'linux').each<[string, string, boolean]>([
  ['127.0.0.2', '127.0.0.2', true],
  ['127.0.0.2', '127.0.0.1', false],
  ['127.0.0.2', '0.0.0.0', true],
  ['127.0.0.2', '[::]', true],
  ['127.0.0.2', '[::1]', false],
  ['127.0.0.2', 'localhost', true],
  ['0.0.0.0', '127.0.0.1', true],
  ['0.0.0.0', '[::ffff:127.0.0.1]', true],
  ['0.0.0.0', '[::1]', false],
  ['::ffff:127.0.0.1', '127.0.0.1', true],
])('who listens on %s is in the way of %s: %s', async (host, asked, isInTheWay) => {
  const server = createServer().listen({ port: 0, host })
  onTestFinished(() => void server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const bound = server.address()
  const port = typeof bound === 'object' && bound ? bound.port : 0
  const holder = holderOf(parseAddress(`http://${asked}:${port}`))
  expect(holder?.kind === 'program' && holder.pid === process.pid).toBe(isInTheWay)
})
