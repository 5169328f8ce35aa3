/** A socket file goes when nobody listens on it, and never otherwise. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { clearSocketFile } from '../../../src/os/socketfile.ts'
import { shortSocketPath } from '../../../src/os/socketpath.ts'
import { temporaryDirectory } from '../tempdir.ts'

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

/** As a killed process leaves it. */
function leave(path: string): void {
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
        for (let turn = 0; turn < index; turn++) await new Promise((resolve) => setImmediate(resolve))
        return (await clearSocketFile(path)) === 'free' ? listen(path) : null
      }),
    )
    expect(servers.filter((server) => server !== null)).toHaveLength(1)
    expect(await isAnswered(path)).toBe(true)
  }
  expect(readdirSync(root).filter((name) => name.includes('stale'))).toEqual([])
})
