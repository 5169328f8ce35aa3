/** What has changed is found by looking: with real directories and links. */
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { rulesFor } from '../../../../src/master/watch/rules.ts'
import { anchorsOf, WatchTree } from '../../../../src/master/watch/tree.ts'
import { temporaryDirectory } from '../../tempdir.ts'

interface Place {
  root: string
  tree: WatchTree
  at(name: string): string
  write(name: string, text?: string): void
}

async function place(files: string[], isWhole = false): Promise<Place> {
  const root = join(temporaryDirectory(), 'app')
  const at = (name: string): string => join(root, name)
  const write = (name: string, text = name): void => {
    mkdirSync(join(at(name), '..'), { recursive: true })
    writeFileSync(at(name), text)
  }
  for (const file of files) write(file)
  const rules = rulesFor({ path: root, isWhole }, { realRoot: root, directories: [], logs: [] })
  const tree = new WatchTree(root, rules)
  await tree.compareAll()
  return { root, tree, at, write }
}

it('nothing has changed where nothing was done, or was undone, or only read and touched beside it', async () => {
  const { tree, at, write } = await place(['a.js', 'src/b.js'])
  write('new.js')
  rmSync(at('new.js'))
  write('data.sqlite')
  mkdirSync(at('uploads'))
  expect((await tree.compareAll()).changed).toEqual([])
})

it('a file that is written, replaced, removed or added is found, once', async () => {
  const { tree, at, write } = await place(['a.js', 'b.js', 'c.js', 'src/d.js'])
  write('a.js', 'longer than before')
  write('b.new', 'b.js')
  renameSync(at('b.new'), at('b.js'))
  rmSync(at('c.js'))
  write('new/deep/e.js')
  const { changed, fresh } = await tree.compareAll()
  expect(changed.sort()).toEqual([at('a.js'), at('b.js'), at('c.js'), at('new/deep/e.js')])
  expect(fresh).toEqual([at('new'), at('new/deep')])
  expect((await tree.compareAll()).changed).toEqual([])
})

it('a touch counts: people ask for a reload by it', async () => {
  const { tree, at } = await place(['a.js'])
  utimesSync(at('a.js'), new Date(), new Date())
  expect((await tree.compareAll()).changed).toEqual([at('a.js')])
})

it('a directory that is gone takes its files with it, and brings them back', async () => {
  const { root, tree, at, write } = await place(['src/a.js', 'src/deep/b.js'])
  rmSync(at('src'), { recursive: true })
  expect((await tree.compare([root])).changed.sort()).toEqual([at('src/a.js'), at('src/deep/b.js')])
  write('src/a.js')
  expect((await tree.compare([root])).changed).toEqual([at('src/a.js')])
  rmSync(root, { recursive: true })
  expect((await tree.compareAll()).changed).toEqual([at('src/a.js')])
})

it('a directory that was replaced by another is to be watched anew, also an empty one, and one that is exchanged', async () => {
  const { root, tree, at, write } = await place(['src/a.js', 'new/a.js'])
  expect(await tree.compare([root])).toEqual({ changed: [], fresh: [], isRelinked: false })
  // while it is there no other can have its number
  renameSync(at('src'), at('../old'))
  mkdirSync(at('src'))
  expect(await tree.compare([root])).toEqual({ changed: [at('src/a.js')], fresh: [at('src')], isRelinked: true })
  rmSync(at('src'), { recursive: true })
  renameSync(at('new'), at('src'))
  const exchanged = await tree.compare([root])
  expect(exchanged).toMatchObject({ fresh: [at('src')], isRelinked: true })
  expect(exchanged.changed).toContain(at('src/a.js'))
  write('src/a.js', 'changed')
  expect(await tree.compare([at('src')])).toEqual({ changed: [at('src/a.js')], fresh: [], isRelinked: false })
})

it('a directory that was deleted and made again is another one, also where it has the same number', async () => {
  const { root, tree, at, write } = await place(['src/a.js', 'b.js'])
  // the file system counts time in steps of up to 10 ms
  await new Promise((resolve) => setTimeout(resolve, 20))
  rmSync(at('src'), { recursive: true })
  mkdirSync(at('src'))
  expect(await tree.compare([root])).toEqual({ changed: [at('src/a.js')], fresh: [at('src')], isRelinked: true })
  expect(await tree.compareAll()).toEqual({ changed: [], fresh: [], isRelinked: false })
  write('src/a.js')
  expect(await tree.compare([at('src')])).toEqual({ changed: [at('src/a.js')], fresh: [], isRelinked: false })
})

it('only the directories that are named are looked at', async () => {
  const { tree, at, write } = await place(['one/a.js', 'two/b.js'])
  write('one/a.js', 'changed')
  write('two/b.js', 'changed')
  expect((await tree.compare([at('two'), at('unknown')])).changed).toEqual([at('two/b.js')])
  expect((await tree.compare([at('one')])).changed).toEqual([at('one/a.js')])
})

it('a root that is a file stands for itself', async () => {
  const path = join(temporaryDirectory(), 'app.conf')
  const tree = new WatchTree(path, rulesFor({ path, isWhole: true }, { realRoot: path, directories: [], logs: [] }))
  expect((await tree.compareAll()).changed).toEqual([])
  writeFileSync(path, 'one')
  expect((await tree.compareAll()).changed).toEqual([path])
  writeFileSync(path, 'longer')
  expect((await tree.compare([path])).changed).toEqual([path])
  rmSync(path)
  expect((await tree.compareAll()).changed).toEqual([path])
})

it('a link to a directory is followed, and switching it changes what it leads to', async () => {
  const { root, tree, at, write } = await place(['releases/1/a.js', 'releases/2/a.js'])
  const outside = join(root, '../shared')
  mkdirSync(outside)
  writeFileSync(join(outside, 'lib.js'), '')
  symlinkSync(outside, at('shared'))
  const linked = await tree.compareAll()
  expect(linked).toMatchObject({ changed: [at('shared/lib.js')], isRelinked: true })
  writeFileSync(join(outside, 'lib.js'), 'changed')
  expect(await tree.compare([at('shared')])).toMatchObject({ changed: [at('shared/lib.js')], isRelinked: false })
  write('other/lib.js')
  await tree.compareAll()
  rmSync(at('shared'))
  symlinkSync(at('other'), at('shared'))
  expect(await tree.compareAll()).toMatchObject({
    isRelinked: true,
    changed: [at('shared/lib.js'), at('shared/lib.js')],
  })
})

it('links that lead round do not lead round for ever', async () => {
  const { root, tree, at } = await place(['a/1.js', 'b/2.js'])
  symlinkSync('/', at('disk'))
  symlinkSync(root, at('a/self'))
  symlinkSync(at('b'), at('a/x'))
  symlinkSync(at('a'), at('b/y'))
  symlinkSync(at('nowhere'), at('lost'))
  const outside = join(root, '../outside')
  mkdirSync(outside)
  for (const name of ['p', 'q', 'r']) symlinkSync(outside, join(outside, name))
  symlinkSync(outside, at('out'))
  const { changed } = await tree.compareAll()
  expect(changed.sort()).toEqual([at('a/x/2.js'), at('b/y/1.js')])
  expect(tree.hasLink(at('disk'))).toBe(false)
  expect(tree.hasLink(at('out'))).toBe(true)
})

it('what can be replaced above a path: itself, each link on the way, or the first part that is missing', async () => {
  const root = temporaryDirectory()
  mkdirSync(join(root, 'releases/1'), { recursive: true })
  symlinkSync('releases/1', join(root, 'current'))
  writeFileSync(join(root, 'releases/1/app.js'), '')
  expect(await anchorsOf(join(root, 'current/app.js'))).toEqual([
    { directory: root, name: 'current' },
    { directory: join(root, 'current'), name: 'app.js' },
  ])
  expect(await anchorsOf(join(root, 'releases/2/src'))).toEqual([{ directory: join(root, 'releases'), name: '2' }])
})
