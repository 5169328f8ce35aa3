/** Places where no lock can be taken: file systems and machines that lack what it needs. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { takePidFile } from '../../../src/os/pidfile.ts'
import { temporaryDirectory } from '../tempdir.ts'

const broken = vi.hoisted(() => ({ link: '', write: '', table: false }))

vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>()
  const fail = (code: string): never => {
    throw Object.assign(new Error(`${code}: it fails`), { code })
  }
  return {
    ...fs,
    linkSync: (from: string, to: string) => (broken.link ? fail(broken.link) : fs.linkSync(from, to)),
    writeFileSync: (...words: Parameters<typeof fs.writeFileSync>) => {
      fs.writeFileSync(...words)
      if (broken.write && String(words[0]).includes('.pid.')) fail(broken.write)
    },
  }
})

vi.mock('../../../src/os/processes.ts', async (load) => {
  const processes = await load<typeof import('../../../src/os/processes.ts')>()
  return { ...processes, startTimeOf: (pid: number) => (broken.table ? null : processes.startTimeOf(pid)) }
})

afterEach(() => void Object.assign(broken, { link: '', write: '', table: false }))

const ELSEWHERE = 'a directory on a local file system with --state-dir, or Worker.runAll({ stateDir }).'

it.each([
  ['without hard links', { link: 'EPERM' }, `Choose ${ELSEWHERE}`],
  ['without hard links, another one', { link: 'ENOTSUP' }, `Choose ${ELSEWHERE}`],
  ['that is full', { write: 'ENOSPC' }, `Make room on its disk, or choose ${ELSEWHERE}`],
])('on a file system %s it is one sentence, and nothing is left', async (_, how, hint) => {
  const path = join(temporaryDirectory(), 'master.pid')
  Object.assign(broken, how)
  const code = Object.values(how)[0]
  await expect(takePidFile(path)).rejects.toMatchObject({
    code: 'ERR_STATE_DIR',
    message: `Cannot take ${path}: ${code}`,
    hint,
  })
  expect(readdirSync(join(path, '..'))).toEqual([])
})

it('over a stale file, too, and no guard is left', async () => {
  const path = join(temporaryDirectory(), 'master.pid')
  writeFileSync(path, '4194304 1\n')
  broken.link = 'EPERM'
  await expect(takePidFile(path)).rejects.toMatchObject({ code: 'ERR_STATE_DIR' })
  expect(readdirSync(join(path, '..'))).toEqual(['master.pid'])
})

it('without a process table nobody could tell that we live: nothing is taken', async () => {
  const path = join(temporaryDirectory(), 'master.pid')
  broken.table = true
  await expect(takePidFile(path)).rejects.toMatchObject({
    code: 'ERR_PLATFORM',
    message: `Cannot take ${path}: the process table cannot be read`,
  })
  expect(readdirSync(join(path, '..'))).toEqual([])
})
