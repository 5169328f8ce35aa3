/** A socket file goes when nobody listens on it, and never otherwise. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { parseAddress } from '../../../src/address.ts'
import { bindListener } from '../../../src/master/listeners.ts'
import { clearSocketFile } from '../../../src/os/socketfile.ts'
import { shortSocketPath } from '../../../src/os/socketpath.ts'
import { listenOn } from '../../../src/worker/listen.ts'
import { temporaryDirectory } from '../tempdir.ts'

const NO_OPTIONS = { socketMode: null, socketOwner: null }

/** @returns null when another has the place. */
function listen(path: string): Promise<Server | null> {
  const short = shortSocketPath(path)
  // whoever only asks hangs up at once
  const server = createServer((socket) => socket.on('error', () => undefined).end('here')).listen(short.path)
  onTestFinished(() => void server.close(short.release))
  return new Promise((resolve) => {
    server.once('listening', () => resolve(server)).once('error', () => resolve(null))
  })
}

/** As a killed process leaves it, an hour ago. */
function leave(path: string): void {
  leaveNow(path)
  const then = Date.now() / 1000 - 3_600
  utimesSync(path, then, then)
}

function leaveNow(path: string): void {
  const code = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  const short = shortSocketPath(path)
  // the descriptor is this process's
  spawnSync(process.execPath, ['-e', code, short.path.replace('self', String(process.pid))])
  short.release()
  expect(lstatSync(path).isSocket()).toBe(true)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const short = shortSocketPath(path)
    const socket = connect(short.path, () => resolve(true))
    short.release()
    socket.resume().on('error', () => resolve(false))
  })
}

it('nothing there is free, a leftover is taken away, also one deep down', async () => {
  const root = temporaryDirectory()
  const deep = join(root, 'deep/'.repeat(30))
  mkdirSync(deep, { recursive: true })
  for (const path of [join(root, 'a.sock'), join(deep, 'a.sock')]) {
    expect(await clearSocketFile(path)).toBe('free')
    leave(path)
    expect(await clearSocketFile(path)).toBe('free')
    expect(existsSync(path)).toBe(false)
    expect(readdirSync(join(path, '..'))).not.toContainEqual(expect.stringContaining('stale'))
  }
})

it('one that is answered stays, and serves on', async () => {
  const path = join(temporaryDirectory(), 'a.sock')
  expect(await listen(path)).not.toBeNull()
  expect(await clearSocketFile(path)).toBe('answered')
  expect(await isAnswered(path)).toBe(true)
})

it('what is no socket stays, a link to one too', async () => {
  const root = temporaryDirectory()
  writeFileSync(join(root, 'file'), 'text')
  mkdirSync(join(root, 'directory'))
  leave(join(root, 'a.sock'))
  symlinkSync('a.sock', join(root, 'link'))
  for (const name of ['file', 'directory', 'link']) {
    expect(await clearSocketFile(join(root, name))).toBe('other')
    expect(readdirSync(root)).toContain(name)
  }
})

it.skipIf(process.getuid?.() === 0)('one that may not be asked is somebody’s', async () => {
  const path = join(temporaryDirectory(), 'a.sock')
  expect(await listen(path)).not.toBeNull()
  chmodSync(path, 0)
  expect(await clearSocketFile(path)).toBe('answered')
})

it('of many that find the same leftover one gets the place, and it is the one that is reached', async () => {
  const root = temporaryDirectory()
  for (let round = 0; round < 20; round++) {
    const path = join(root, `${round}.sock`)
    leave(path)
    const servers = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        for (let turn = 0; turn < index % (1 + (round % 4)); turn++)
          await new Promise((resolve) => setImmediate(resolve))
        return (await clearSocketFile(path)) === 'free' ? listen(path) : null
      }),
    )
    expect(servers.filter((server) => server !== null)).toHaveLength(1)
    expect(await isAnswered(path)).toBe(true)
  }
  expect(readdirSync(root).filter((name) => name.includes('stale'))).toEqual([])
})

it('one who was killed while it took a leftover away is in nobody’s way for long', async () => {
  const root = temporaryDirectory()
  const path = join(root, 'a.sock')
  leave(path)
  const { ino, mtimeNs } = lstatSync(path, { bigint: true })
  linkSync(path, join(root, `.stale-${ino}-${mtimeNs}`))
  expect(await clearSocketFile(path)).toBe('free')
  expect(readdirSync(root)).toEqual([])
})

it('one that was made just now may be about to be answered, and goes only when nobody does', async () => {
  const path = join(temporaryDirectory(), 'a.sock')
  leaveNow(path)
  const askedAt = Date.now()
  expect(await clearSocketFile(path)).toBe('free')
  expect(Date.now() - askedAt).toBeGreaterThan(500)
})

it.runIf(process.platform === 'linux')('one that is bound is somebody’s, however late that one listens', async () => {
  const path = join(temporaryDirectory(), 'a.sock')
  // as the master holds it until a worker listens
  const { handle, close } = await bindListener(parseAddress(`text+unix://${path}`), NO_OPTIONS)
  utimesSync(path, new Date(0), new Date(0))
  expect(await clearSocketFile(path)).toBe('answered')
  const server = createServer((socket) => socket.on('error', () => undefined).end())
  await listenOn(server, handle, 5)
  expect(await clearSocketFile(path)).toBe('answered')
  close()
})
