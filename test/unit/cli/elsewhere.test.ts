/** A master that lives is found though nothing leads to it from where a command looks: with processes that carry a mark. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findElsewhere } from '../../../src/cli/elsewhere.ts'
import { formatMark } from '../../../src/ipc/mark.ts'
import type { ProcessId } from '../../../src/os/processes.ts'
import { stateDirAt } from '../../../src/os/statedir.ts'
import { WORKER_VARIABLE } from '../../../src/variables.ts'
import { temporaryDirectory } from '../tempdir.ts'
import { OWN, sleeper } from './processes.ts'

/** A directory with a start file, and where its master would keep its state. */
function place(): { startFile: string; usual: string; chosen: string } {
  const root = temporaryDirectory()
  const startFile = join(root, 'start.js')
  writeFileSync(startFile, '')
  const [usual, chosen] = [join(root, '.shiftwork/start.js'), join(root, 'chosen')]
  for (const path of [usual, chosen]) mkdirSync(path, { recursive: true })
  return { startFile, usual, chosen }
}

interface Fleet {
  startFile: string
  stateDir: string
  /** False: who typed the start has chosen the directory. */
  byFile?: boolean
  master?: ProcessId
}

/** One worker of a master, which is this process unless another one is named. */
async function worker({ startFile, stateDir, byFile = true, master = OWN }: Fleet): Promise<void> {
  const value = formatMark({ startFile, stateDir, byFile, master, worker: 'web/0', key: 1 })
  await sleeper({ [WORKER_VARIABLE]: value })
}

function keep(stateDir: string, master = OWN): void {
  mkdirSync(stateDir, { recursive: true })
  writeFileSync(join(stateDir, 'master.pid'), `${master.pid} ${master.startTime}\n`)
}

describe.runIf(process.platform === 'linux')('findElsewhere', () => {
  it('finds the master of a start file in the directory that it has chosen', async () => {
    const { startFile, usual, chosen } = place()
    await worker({ startFile, stateDir: chosen })
    keep(chosen)
    expect(await findElsewhere(stateDirAt(usual), startFile)).toEqual(stateDirAt(chosen))
  })

  it('finds none of another start file, none that is gone, and no other where the directory was named', async () => {
    const { startFile, usual, chosen } = place()
    await worker({ startFile: place().startFile, stateDir: chosen })
    await worker({ startFile, stateDir: chosen, master: { ...OWN, startTime: '1' } })
    expect(await findElsewhere(stateDirAt(usual), startFile)).toBeNull()
    await worker({ startFile, stateDir: chosen })
    keep(chosen)
    expect(await findElsewhere(stateDirAt(usual), null)).toBeNull()
  })

  it('leaves alone one that was started with another directory, and names it', async () => {
    const { startFile, usual, chosen } = place()
    await worker({ startFile, stateDir: chosen, byFile: false })
    keep(chosen)
    await expect(findElsewhere(stateDirAt(usual), startFile)).rejects.toMatchObject({
      code: 'ERR_NOT_RUNNING',
      hint: `Running with another state directory:\n--state-dir ${chosen} (pid ${OWN.pid})`,
    })
  })

  it('waits for one that makes its pid file again', async () => {
    const { startFile, usual } = place()
    await worker({ startFile, stateDir: usual })
    setTimeout(() => keep(usual), 300)
    expect(await findElsewhere(stateDirAt(usual), null)).toEqual(stateDirAt(usual))
  })

  it('names the process of one that cannot be asked', async () => {
    const { startFile, usual } = place()
    await worker({ startFile, stateDir: usual })
    await expect(findElsewhere(stateDirAt(usual), null)).rejects.toMatchObject({
      code: 'ERR_NO_ANSWER',
      message: `The master of ${startFile} (pid ${OWN.pid}) runs and cannot be asked`,
      hint: `Nothing in ${usual} leads to it; kill -TERM ${OWN.pid} stops it gracefully.`,
    })
  })

  it('asks which one is meant where several run', async () => {
    const { startFile, usual, chosen } = place()
    const other = await sleeper()
    await worker({ startFile, stateDir: chosen })
    await worker({ startFile, stateDir: join(chosen, 'b'), master: other })
    await expect(findElsewhere(stateDirAt(usual), startFile)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      hint: expect.stringContaining(`--state-dir ${chosen} (pid ${OWN.pid})`),
    })
  })
})
