/** File systems that do not know when a directory was made, and say something else instead. */
import { mkdirSync, rmSync, type Stats, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { rulesFor } from '../../../../src/master/watch/rules.ts'
import { WatchTree } from '../../../../src/master/watch/tree.ts'
import { temporaryDirectory } from '../../tempdir.ts'

let birthOf = (stats: Stats): number => stats.birthtimeMs

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  const stat = async (path: string): Promise<Stats> => {
    const stats = await real.stat(path)
    return Object.assign(stats, { birthtimeMs: birthOf(stats) })
  }
  return { ...real, stat }
})

it.each([
  ['when it has changed last', ({ ctimeMs }: Stats) => ctimeMs],
  ['1970', () => 0],
])('%s: a directory in which something changes is the same, and not looked at twice', async (_what, birth) => {
  birthOf = birth
  const root = temporaryDirectory()
  const at = (name: string): string => join(root, name)
  mkdirSync(at('src/deep'), { recursive: true })
  for (const name of ['src/a.js', 'src/deep/b.js']) writeFileSync(at(name), '')
  const tree = new WatchTree(
    root,
    rulesFor({ path: root, isWhole: false }, { realRoot: root, directories: [], logs: [] }),
  )
  await tree.compareAll()
  for (let round = 0; round < 3; round++) {
    // the file system counts time in steps of up to 10 ms
    await new Promise((resolve) => setTimeout(resolve, 20))
    writeFileSync(at(`src/deep/${round}.log`), '')
    writeFileSync(at(`src/${round}.js`), '')
    if (round > 0) rmSync(at(`src/${round - 1}.js`))
    const { changed, ...others } = await tree.compareAll()
    expect(changed).toContain(at(`src/${round}.js`))
    expect(changed).toHaveLength(round > 0 ? 2 : 1)
    expect(others).toEqual({ fresh: [], isRelinked: false })
  }
})
