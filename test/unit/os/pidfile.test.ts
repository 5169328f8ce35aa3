/** The lock of a state directory: with real files, what is found stale, and several processes at once. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readPidFile, releasePidFile, takePidFile } from '../../../src/os/pidfile.ts'
import { startTimeOf } from '../../../src/os/processes.ts'
import { temporaryDirectory } from '../tempdir.ts'

const OWN = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }

function pidFile(text?: string): string {
  const path = join(temporaryDirectory(), 'master.pid')
  if (text !== undefined) writeFileSync(path, text)
  return path
}

describe('takePidFile', () => {
  it('writes pid and start time, and nothing else is left in the directory', async () => {
    const path = pidFile()
    expect(await takePidFile(path)).toBeNull()
    expect(readFileSync(path, 'utf8')).toBe(`${OWN.pid} ${OWN.startTime}\n`)
    expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
  })

  it('names a living holder and leaves its file alone', async () => {
    const parent = { pid: process.ppid, startTime: startTimeOf(process.ppid) ?? '' }
    const text = `${parent.pid} ${parent.startTime}\n`
    const path = pidFile(text)
    expect(await takePidFile(path)).toEqual(parent)
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
  })

  it('may be taken twice by the same process', async () => {
    const path = pidFile()
    await takePidFile(path)
    expect(await takePidFile(path)).toBeNull()
  })

  it.each([
    ['a pid that does not exist', '4194304 1\n'],
    ["another program's pid: the start time differs", `${process.ppid} 1\n`],
    ['our own pid, from before a reboot', `${process.pid} 1\n`],
    ['nothing', ''],
    ['garbage', 'hello\n'],
    ['a pid without a start time', '1\n'],
    ['binary', '\u0000\u0001'],
  ])('takes over a file that holds %s', async (_, text) => {
    const path = pidFile(text)
    expect(await takePidFile(path)).toBeNull()
    expect(readPidFile(path)).toEqual(OWN)
  })

  it('takes over also when the one that was about to do so has died', async () => {
    const path = pidFile('4194304 1\n')
    writeFileSync(`${path}.guard`, '4194304 2\n')
    expect(await takePidFile(path)).toBeNull()
    expect(readPidFile(path)).toEqual(OWN)
    expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
  })

  it('waits for one that is about to, and says who is in the way when that takes too long', async () => {
    const path = pidFile('4194304 1\n')
    writeFileSync(`${path}.guard`, `${process.ppid} ${startTimeOf(process.ppid)}\n`)
    await expect(takePidFile(path)).rejects.toMatchObject({ hint: `If none is, remove ${path}.guard.` })
    rmSync(`${path}.guard`)
    expect(await takePidFile(path)).toBeNull()
  })

  it('says so when a directory is in the way', async () => {
    const path = pidFile()
    mkdirSync(path)
    await expect(takePidFile(path)).rejects.toMatchObject({ code: 'ERR_STATE_DIR', message: `${path} is a directory` })
    expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
  })
})

describe('releasePidFile', () => {
  it('removes our own file, and none that another holds', async () => {
    const path = pidFile()
    await takePidFile(path)
    releasePidFile(path)
    expect(readPidFile(path)).toBeNull()
    const text = `${process.ppid} ${startTimeOf(process.ppid)}\n`
    const foreign = pidFile(text)
    releasePidFile(foreign)
    expect(readFileSync(foreign, 'utf8')).toBe(text)
  })

  it('does nothing when there is none', () => {
    const path = pidFile()
    releasePidFile(path)
    expect(readdirSync(join(path, '..'))).toEqual([])
  })
})

describe('several processes at once', () => {
  const TAKER = fileURLToPath(new URL('taker.ts', import.meta.url))
  const LOADER = import.meta.resolve('tsx')

  async function startTaker(): Promise<ChildProcess> {
    const child = fork(TAKER, { execArgv: ['--import', LOADER] })
    onTestFinished(async () => {
      const gone = child.exitCode === null ? once(child, 'exit') : null
      child.disconnect()
      await gone
    })
    await once(child, 'message')
    return child
  }

  async function takeIn(child: ChildProcess, path: string): Promise<{ takenBy: number }> {
    child.send(path)
    const [answer] = (await once(child, 'message')) as [{ takenBy: number }]
    return answer
  }

  it('one takes the lock, all others name that one, whether the file was missing or stale', async () => {
    const directory = temporaryDirectory()
    const takers = await Promise.all([startTaker(), startTaker(), startTaker(), startTaker()])
    for (let round = 0; round < 40; round++) {
      const path = join(directory, `${round}.pid`)
      if (round % 2 === 1) writeFileSync(path, '4194304 1\n')
      const answers = await Promise.all(takers.map((taker) => takeIn(taker, path)))
      const holder = readPidFile(path)?.pid
      expect(takers.map((taker) => taker.pid)).toContain(holder)
      expect(answers, `round ${round}`).toEqual(takers.map(() => ({ takenBy: holder })))
    }
  }, 20_000)
})
