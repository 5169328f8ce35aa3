/** Wrong values in a start file: each is one sentence, said by the process that reads it. Nothing is started. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { temporaryDirectory } from './tempdir.ts'

const INDEX = fileURLToPath(new URL('../../src/index.ts', import.meta.url))
const LOADER = import.meta.resolve('tsx')

interface Said {
  code: number | null
  stderr: string
}

async function run(code: string, words: readonly string[]): Promise<Said> {
  const root = temporaryDirectory()
  const startFile = join(root, 'start.ts')
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  writeFileSync(startFile, `import { Worker } from ${JSON.stringify(INDEX)}\n${code}\n`)
  const args = ['--import', LOADER, startFile, ...words]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const stderr = await text(child.stderr)
  return { code: await exit, stderr }
}

const CHAT = 'websocket://127.0.0.1:0'

it.each<[string, string[], number, RegExp]>([
  [`new Worker('${CHAT}', { webSocket: null }); Worker.runAll()`, ['start'], 1, /webSocket is null/],
  [`new Worker('${CHAT}', { webSocket: { compression: null } }); Worker.runAll()`, ['start'], 1, /compression is null/],
  [`new Worker(); Worker.runAll({ stateDir: null })`, ['stop'], 1, /runAll: stateDir is null/],
  [`new Worker(); Worker.runAll({ argv: 'stop' })`, [], 1, /runAll: argv is "stop"/],
  [`new Worker(); Worker.runAll({ argv: null })`, [], 1, /runAll: argv is null/],
  [`new Worker(); Worker.runAll(null)`, ['stop'], 3, /Not running/],
  [
    `new Worker('${CHAT}').onWebsocketConnect = () => 1; Worker.runAll()`,
    ['start'],
    1,
    /"onWebsocketConnect"[\s\S]*"onWebSocketConnect"/,
  ],
  [`new Worker().processes = 4; Worker.runAll()`, ['start'], 1, /unknown option "processes"[\s\S]*"count"/],
  [`new Worker(); Worker.daemonize = true; Worker.runAll()`, ['start'], 1, /"daemonize"[\s\S]*start -d/],
])('%s', async (code, words, exit, sentence) => {
  const said = await run(code, words)
  expect(said.stderr).toMatch(sentence)
  expect(said.stderr).not.toMatch(/^\s+at /m)
  expect(said.code).toBe(exit)
})

it('a Worker that is created after runAll is refused where it stands: nobody would run it', async () => {
  const said = await run(`Worker.runAll(); new Worker('${CHAT}')`, ['stop'])
  expect(said.stderr).toMatch(/new Worker\('websocket:\S+'\) comes after Worker\.runAll\(\)[\s\S]*start\.ts:2:/)
  expect(said.code).toBe(1)
})
