/** Where the state of a start file is, and that every command finds it: with real directories and links. */
import { chmodSync, mkdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startTimeOf } from '../../../src/os/processes.ts'
import {
  assertOwnStateDir,
  createStateDir,
  findStateDir,
  stateDirAt,
  stateDirCandidates,
  stateDirOf,
} from '../../../src/os/statedir.ts'
import { temporaryDirectory } from '../tempdir.ts'

const isRoot = process.getuid?.() === 0

/** A project with two releases and a link to the first. */
function releases(): { root: string; linked: string; switchTo(release: string): void } {
  const root = temporaryDirectory()
  for (const release of ['one', 'two']) {
    mkdirSync(join(root, 'releases', release, 'src'), { recursive: true })
    writeFileSync(join(root, 'releases', release, 'src/start.ts'), '')
  }
  const current = join(root, 'current')
  const switchTo = (release: string): void => {
    rmSync(current, { force: true })
    symlinkSync(join('releases', release), current)
  }
  switchTo('one')
  return { root, linked: join(current, 'src/start.ts'), switchTo }
}

/** As if a master ran with this state directory. */
function occupy(path: string): void {
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'master.pid'), `${process.pid} ${startTimeOf(process.pid)}\n`)
}

/** As if one had been killed there. */
function abandon(path: string): void {
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'master.pid'), '4194304 1\n')
}

describe('stateDirCandidates', () => {
  it('is beside a start file that no link leads to', () => {
    const root = temporaryDirectory()
    expect(stateDirCandidates(join(root, 'start.ts'))).toEqual([join(root, '.shiftwork/start.ts')])
  })

  it('begins beside the link of a release directory, with the way from there in the name', () => {
    const { root, linked } = releases()
    expect(stateDirCandidates(linked)).toEqual([
      join(root, '.shiftwork/current~src~start.ts'),
      join(root, 'current/src/.shiftwork/start.ts'),
      join(root, 'releases/one/src/.shiftwork/start.ts'),
    ])
  })

  it('has the innermost of several links', () => {
    const { root } = releases()
    symlinkSync(root, join(root, 'all'))
    expect(stateDirCandidates(join(root, 'all/current/src/start.ts'))[0]).toBe(
      join(root, 'all/.shiftwork/current~src~start.ts'),
    )
  })

  it('has both names of a start file that is itself a link', () => {
    const root = temporaryDirectory()
    mkdirSync(join(root, 'real'))
    writeFileSync(join(root, 'real/start.ts'), '')
    symlinkSync('real/start.ts', join(root, 'app.ts'))
    expect(stateDirCandidates(join(root, 'app.ts'))).toEqual([
      join(root, '.shiftwork/app.ts'),
      join(root, 'real/.shiftwork/start.ts'),
    ])
  })

  it('does with a start file that was deleted', () => {
    const root = temporaryDirectory()
    expect(stateDirCandidates(join(root, 'gone/start.ts'))).toEqual([join(root, 'gone/.shiftwork/start.ts')])
  })

  it('two start files never meet', () => {
    const root = temporaryDirectory()
    expect(stateDirCandidates(join(root, 'a.ts'))).not.toEqual(stateDirCandidates(join(root, 'b.ts')))
  })
})

describe('findStateDir', () => {
  it('takes the one that was chosen, whatever is where', () => {
    const { linked } = releases()
    occupy(stateDirCandidates(linked)[0] ?? '')
    expect(findStateDir(linked, '/run/app').path).toBe('/run/app')
  })

  it('takes the first that can be created when nothing runs', () => {
    const { root, linked } = releases()
    expect(findStateDir(linked, null).path).toBe(join(root, '.shiftwork/current~src~start.ts'))
  })

  it('finds a master that was started by another name', () => {
    const { linked } = releases()
    const real = realpathSync(linked)
    const [besideReal = ''] = stateDirCandidates(real)
    occupy(besideReal)
    expect(realpathSync(findStateDir(linked, null).path)).toBe(besideReal)
  })

  it('finds one that lives behind one that was killed', () => {
    const { linked } = releases()
    const [first = '', second = ''] = stateDirCandidates(linked)
    abandon(first)
    occupy(second)
    expect(findStateDir(linked, null).path).toBe(second)
  })

  it('minds none that was killed inside a release', () => {
    const { linked } = releases()
    const [first = '', , last = ''] = stateDirCandidates(linked)
    abandon(last)
    expect(findStateDir(linked, null).path).toBe(first)
  })

  it('finds it again after the release was switched, and the old one deleted', () => {
    const { root, linked, switchTo } = releases()
    const used = findStateDir(linked, null).path
    occupy(used)
    switchTo('two')
    rmSync(join(root, 'releases/one'), { recursive: true })
    expect(findStateDir(linked, null).path).toBe(used)
  })

  it.skipIf(isRoot)('passes over a place that cannot be written', () => {
    const { root, linked } = releases()
    chmodSync(root, 0o555)
    try {
      expect(findStateDir(linked, null).path).toBe(join(root, 'current/src/.shiftwork/start.ts'))
    } finally {
      chmodSync(root, 0o755)
    }
  })
})

describe('createStateDir', () => {
  it('creates it for its owner alone', () => {
    const dir = stateDirAt(join(temporaryDirectory(), 'a/b'))
    createStateDir(dir)
    createStateDir(dir)
    expect(statSync(dir.path).mode & 0o777).toBe(0o700)
  })

  it('says what to do when it cannot', () => {
    const root = temporaryDirectory()
    writeFileSync(join(root, 'file'), '')
    const dir = stateDirAt(join(root, 'file/state'))
    expect(() => createStateDir(dir)).toThrow(
      expect.objectContaining({
        code: 'ERR_STATE_DIR',
        message: `Cannot write to the state directory ${dir.path}: ENOTDIR`,
        hint: 'Choose another one with --state-dir, or Worker.runAll({ stateDir }).',
      }),
    )
  })
})

describe('assertOwnStateDir', () => {
  it('has nothing against ours, nor against one that does not exist', () => {
    const root = temporaryDirectory()
    expect(() => assertOwnStateDir(stateDirAt(root))).not.toThrow()
    expect(() => assertOwnStateDir(stateDirAt(join(root, 'none')))).not.toThrow()
  })

  it.skipIf(isRoot)("says whose it is when it is another user's", () => {
    expect(() => assertOwnStateDir(stateDirAt('/'))).toThrow('The state directory / belongs to user id 0')
  })
})

describe('stateDirOf', () => {
  it('is absolute, from the working directory on, and leaves links as they are named', () => {
    const { root, linked } = releases()
    expect(stateDirOf(linked)).toBe(join(root, '.shiftwork/current~src~start.ts'))
    expect(stateDirOf(join(root, 'releases/two/../two/src/start.ts'))).toBe(
      join(root, 'releases/two/src/.shiftwork/start.ts'),
    )
    expect(stateDirOf('no/such/start.ts')).toBe(join(process.cwd(), 'no/such/.shiftwork/start.ts'))
  })

  it('is where a master of it runs', () => {
    const { root, linked } = releases()
    occupy(join(root, 'releases/one/src/.shiftwork/start.ts'))
    expect(stateDirOf(linked)).toBe(join(root, 'current/src/.shiftwork/start.ts'))
  })

  it('says what it needs', () => {
    for (const wrong of ['', undefined, 7])
      expect(() => stateDirOf(wrong as string)).toThrow('needs the path of a start')
  })
})
