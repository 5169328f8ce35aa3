/** The lock of a state directory: with real files, what is found stale, and several processes at once. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { livingHolder, readPidFile, releasePidFile, takePidFile } from '../../../src/os/pidfile.ts'
import { startTimeOf } from '../../../src/os/processes.ts'
import { ownTable } from '../../../src/os/viewpoint.ts'
import { temporaryDirectory } from '../tempdir.ts'

const OWN = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', table: ownTable() }
/** The process that has started this one, in a table that is not ours: a stranger of the same pid. */
const STRANGER = `${process.ppid}\nstarted=${startTimeOf(process.ppid)}\ntable=1\n`

function pidFile(text?: string): string {
  const path = join(temporaryDirectory(), 'master.pid')
  if (text !== undefined) writeFileSync(path, text)
  return path
}

describe('takePidFile', () => {
  it('writes the pid on a line of its own, start time and process table, and nothing else is left', async () => {
    const path = pidFile()
    expect(await takePidFile(path)).toBeNull()
    const table = OWN.table === null ? '' : `table=${OWN.table}\n`
    expect(readFileSync(path, 'utf8')).toBe(`${OWN.pid}\nstarted=${OWN.startTime}\n${table}`)
    expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
  })

  it.each([
    ['in the form of today', '\nstarted='],
    ['as an older master wrote it', ' '],
  ])('names a living holder and leaves its file alone, %s', async (_, between) => {
    const parent = { pid: process.ppid, startTime: startTimeOf(process.ppid) ?? '' }
    const text = `${parent.pid}${between}${parent.startTime}\n`
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

describe.skipIf(OWN.table === null)('a holder that our process table does not show', () => {
  it('is dead when it does not answer, though a stranger of ours has its pid', async () => {
    const path = pidFile(STRANGER)
    expect(await takePidFile(path)).toBeNull()
    expect(readPidFile(path)).toEqual(OWN)
  })

  it('is named when it answers, also where a stranger of ours has its pid, and keeps its file', async () => {
    for (const text of [STRANGER, '4194304\nstarted=1\ntable=1\n', '4194304 1\n']) {
      const path = pidFile(text)
      expect(await takePidFile(path, async () => true)).toBe('unseen')
      expect(livingHolder(path)).toBeNull()
      releasePidFile(path)
      expect(readFileSync(path, 'utf8')).toBe(text)
    }
  })

  it('is no copy of ours, though pid and start time are the same', async () => {
    const path = pidFile(`${OWN.pid}\nstarted=${OWN.startTime}\ntable=1\n`)
    releasePidFile(path)
    expect(await takePidFile(path, async () => true)).toBe('unseen')
  })

  it('is waited for while it is about to take the lock', async () => {
    const path = pidFile('4194304 1\n')
    writeFileSync(`${path}.guard`, STRANGER)
    const answers = async ({ pid }: { pid: number }): Promise<boolean> => pid === process.ppid
    await expect(takePidFile(path, answers)).rejects.toMatchObject({ hint: `If none is, remove ${path}.guard.` })
  })

  it('has the lock when it takes it between the look at a stale file and the guard', async () => {
    const path = pidFile('4194304 1\n')
    const asked: number[] = []
    const answers = async ({ pid }: { pid: number }): Promise<boolean> => {
      asked.push(pid)
      writeFileSync(path, STRANGER)
      return pid === process.ppid
    }
    expect(await takePidFile(path, answers)).toBe('unseen')
    expect(asked).toEqual([4194304, process.ppid])
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
