/** The directory in which processes begin, with real directories and links. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lostDirectory, presentDirectory, workingDirectories } from '../../../src/os/workingdirectory.ts'
import { releases } from '../releases.ts'

describe('workingDirectories', () => {
  it('begins with the release by the name of its link, for whoever is inside and has named the start file so', () => {
    const { current, one } = releases()
    const startFile = join(current, 'src/start.ts')
    const expected = [current, one, join(current, 'src')]
    for (const pwd of [undefined, one, current]) expect(workingDirectories(one, pwd, startFile)).toEqual(expected)
    expect(workingDirectories(join(one, 'src'), undefined, startFile)[0]).toBe(join(current, 'src'))
  })

  it('begins with the release of now for a shell that came before the link was switched', () => {
    const { current, one, two, switchTo } = releases()
    switchTo(two)
    expect(workingDirectories(one, current, join(current, 'src/start.ts'))[0]).toBe(current)
  })

  it('begins with where the process is, when that is none of the release', () => {
    const { root, current } = releases()
    const startFile = join(current, 'src/start.ts')
    expect(workingDirectories(root, root, startFile)).toEqual([root, join(current, 'src')])
    expect(workingDirectories('/', undefined, startFile)[0]).toBe('/')
  })

  it('minds no PWD that leads elsewhere', () => {
    const { root, one } = releases()
    expect(workingDirectories(one, root, join(one, 'src/start.ts'))[0]).toBe(one)
  })

  it('names each directory once', () => {
    const { one } = releases()
    expect(workingDirectories(join(one, 'src'), undefined, join(one, 'src/start.ts'))).toEqual([join(one, 'src')])
  })
})

describe('a directory that was removed', () => {
  it('is replaced by the next one that is there, and said', () => {
    const { one, two } = releases()
    const directories = [one, two]
    expect(presentDirectory(directories)).toBe(one)
    expect(lostDirectory(directories)).toEqual([])
    rmSync(one, { recursive: true })
    expect(presentDirectory(directories)).toBe(two)
    expect(lostDirectory(directories)).toEqual([`the working directory ${one} is gone: workers are started in ${two}`])
    rmSync(two, { recursive: true })
    expect(presentDirectory(directories)).toBe(one)
    expect(lostDirectory(directories)).toEqual([`the working directory ${one} is gone: no worker can be started`])
  })
})
