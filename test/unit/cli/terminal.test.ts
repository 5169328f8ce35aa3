/** What is printed last reaches whoever reads, and waits for nobody who does not. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'

const TALKER = fileURLToPath(new URL('talker.ts', import.meta.url))
const LOADER = import.meta.resolve('tsx')
/** More than any pipe holds. */
const LENGTH = 2 * 1024 * 1024

function talker(...words: string[]): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const child = spawn(process.execPath, ['--import', LOADER, TALKER, String(LENGTH), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

it('a long value is whole though its reader is slow', async () => {
  const child = talker()
  const ended = once(child, 'close')
  await once(child.stdout, 'readable')
  await delay(200)
  let length = 0
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length
  })
  expect(await ended).toEqual([7, null])
  expect(length).toBe(LENGTH + 3)
})

it('a reader that is gone is not waited for', async () => {
  const child = talker()
  const ended = once(child, 'exit')
  child.stdout.once('data', () => (child.stdout as unknown as { destroy(): void }).destroy())
  expect(await ended).toEqual([7, null])
})

it('nor one that does not read, by a process that was told to end', async () => {
  const child = talker('told')
  expect(await once(child, 'exit')).toEqual([7, null])
})
