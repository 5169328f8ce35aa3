/** The start file's path and the loader for it, with real directories and links. */
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { absoluteStartFile, loaderArgs, missingLoader, throughLink } from '../../../src/os/startfile.ts'
import { releases, write } from '../releases.ts'
import { temporaryDirectory } from '../tempdir.ts'

const stripsTypes = 'typescript' in process.features && Boolean(process.features.typescript)

describe('absoluteStartFile', () => {
  it.each([
    ['start.ts', '/app/start.ts'],
    ['./src/../start.ts', '/app/start.ts'],
    ['../other/start.ts', '/other/start.ts'],
    ['/srv/start.ts', '/srv/start.ts'],
  ])('%s from /app is %s', (file, path) => {
    expect(absoluteStartFile(file, '/app', undefined)).toBe(path)
    expect(absoluteStartFile(file, '/app', '/app')).toBe(path)
  })

  it('keeps the link through which the shell came', () => {
    const { current, one } = releases()
    expect(absoluteStartFile('src/start.ts', one, current)).toBe(join(current, 'src/start.ts'))
    expect(absoluteStartFile('start.ts', join(one, 'src'), join(current, 'src'))).toBe(join(current, 'src/start.ts'))
  })

  it.each([
    ['leads elsewhere', '/'],
    ['does not exist', '/no/such/directory'],
    ['is relative', 'current'],
    ['is empty', ''],
  ])('minds no PWD that %s', (_, pwd) => {
    const { one } = releases()
    expect(absoluteStartFile('src/start.ts', one, pwd)).toBe(join(one, 'src/start.ts'))
  })

  it('minds no PWD for a file outside of the directory', () => {
    const { root, current, one } = releases()
    expect(absoluteStartFile('../two/src/start.ts', one, current)).toBe(join(root, 'releases/two/src/start.ts'))
  })
})

describe('throughLink', () => {
  it('names a file of the release through the link, so that it leads into the next release after a switch', () => {
    const { current, one, two, switchTo } = releases()
    const path = throughLink(join(one, 'dist/worker/main.js'), join(current, 'src/start.ts'))
    expect(path).toBe(join(current, 'dist/worker/main.js'))
    switchTo(two)
    expect(realpathSync(path)).toBe(join(two, 'dist/worker/main.js'))
  })

  it('names the release itself through the link', () => {
    const { current, one } = releases()
    expect(throughLink(one, join(current, 'src/start.ts'))).toBe(current)
  })

  it('leaves alone a directory that only holds what a linked start file leads to', () => {
    const { root, one } = releases()
    mkdirSync(join(root, 'bin'))
    symlinkSync(join(one, 'src/start.ts'), join(root, 'bin/start.ts'))
    expect(throughLink(join(one, 'src'), join(root, 'bin/start.ts'))).toBe(join(one, 'src'))
  })

  it('does so for URLs, also with blanks in them', () => {
    const { current, one } = releases()
    write(join(one, 'a b/loader.mjs'))
    const url = pathToFileURL(join(one, 'a b/loader.mjs')).href
    expect(throughLink(url, join(current, 'src/start.ts'))).toBe(pathToFileURL(join(current, 'a b/loader.mjs')).href)
  })

  it('leaves alone what is outside of the release, or not a path at all', () => {
    const { root, current, one } = releases()
    const startFile = join(current, 'src/start.ts')
    for (const path of [join(root, 'shared/main.js'), `${one}-old/main.js`, '--import', 'tsx'])
      expect(throughLink(path, startFile)).toBe(path)
  })

  it('leaves alone what the link does not lead to', () => {
    const { current, one } = releases()
    const path = join(one, 'missing.js')
    expect(throughLink(path, join(current, 'src/start.ts'))).toBe(path)
  })

  it('leaves everything alone when no link leads to the start file', () => {
    const { one } = releases()
    const path = join(one, 'dist/worker/main.js')
    expect(throughLink(path, join(one, 'src/start.ts'))).toBe(path)
    expect(throughLink(path, join(one, 'deleted.ts'))).toBe(path)
  })

  it('follows a start file that is itself a link', () => {
    const { root, one } = releases()
    mkdirSync(join(root, 'bin'))
    symlinkSync(join(one, 'src/start.ts'), join(root, 'bin/start.ts'))
    const path = join(one, 'src/start.ts')
    expect(throughLink(path, join(root, 'bin/start.ts'))).toBe(join(root, 'bin/start.ts'))
  })
})

/** A directory with packages in its node_modules. */
function packages(...names: string[]): string {
  const root = temporaryDirectory()
  for (const name of names) write(join(root, 'node_modules', name, 'index.js'))
  return root
}

describe('loaderArgs', () => {
  it('leaves plain options alone', () => {
    const args = ['--max-old-space-size=100', '--enable-source-maps', '-C', 'development']
    expect(loaderArgs(args, '/app')).toEqual(args)
  })

  it.each(['--import', '--loader', '--experimental-loader', '--require'])(
    'makes %s hold from every directory, in both ways to write it',
    (option) => {
      const root = packages('hook')
      const file = join(root, 'node_modules/hook/index.js')
      const expected = [option, option === '--require' ? file : pathToFileURL(file).href]
      expect(loaderArgs([option, 'hook'], root)).toEqual(expected)
      expect(loaderArgs([`${option}=hook`], root)).toEqual(expected)
      expect(loaderArgs([option, './node_modules/hook/index.js'], root)).toEqual(expected)
    },
  )

  it('leaves what is absolute already, and what only Node.js itself can find', () => {
    const args = [
      '--import',
      'file:///x.mjs',
      '-r',
      '/y.cjs',
      '--import',
      'data:text/javascript,1',
      '--import',
      'nowhere',
    ]
    expect(loaderArgs(args, temporaryDirectory())).toEqual(args)
  })

  it('adds nothing: a start file that runs needs nothing more', () => {
    expect(loaderArgs(['--import', 'data:text/javascript,1'], '/')).toEqual(['--import', 'data:text/javascript,1'])
    expect(loaderArgs([], '/')).toEqual([])
  })
})

describe('missingLoader', () => {
  it.skipIf(stripsTypes)('is tsx for a TypeScript start file, from beside that file', () => {
    const root = packages('tsx')
    const tsx = pathToFileURL(join(root, 'node_modules/tsx/index.js')).href
    for (const file of ['start.ts', 'src/start.mts', 'start.cts', 'start.tsx'])
      expect(missingLoader(join(root, file), ['--enable-source-maps'])).toBe(tsx)
    expect(missingLoader(join(root, 'start.js'), [])).toBeNull()
  })

  it.skipIf(!stripsTypes)('is none where Node.js reads TypeScript by itself', () => {
    expect(missingLoader(join(packages('tsx'), 'start.ts'), [])).toBeNull()
  })

  it.each<[string[], string]>([
    [['--import', 'file:///app/node_modules/tsx/index.js'], ''],
    [['--import', 'file:///app/node_modules/jiti/index.js'], ''],
    [['--experimental-strip-types'], ''],
    [[], '--max-old-space-size=100 --import=tsx'],
  ])('is none beside a loader of the user’s own: %j %j', (args, nodeOptions) => {
    expect(missingLoader(join(packages('tsx'), 'start.ts'), args, nodeOptions)).toBeNull()
  })

  it.each<[string[], string]>([
    [['--import', 'file:///app/register.mjs'], ''],
    [[], '--import ./register.mjs'],
  ])('is none beside one that is not known, where there is no tsx: %j %j', (args, nodeOptions) => {
    expect(missingLoader(join(temporaryDirectory(), 'start.ts'), args, nodeOptions)).toBeNull()
  })

  it.skipIf(stripsTypes)('says what to install when there is no tsx', () => {
    const startFile = join(temporaryDirectory(), 'start.ts')
    expect(() => missingLoader(startFile, [])).toThrow(
      expect.objectContaining({
        code: 'ERR_START_FILE',
        message: `Node.js ${process.version} cannot run ${startFile} by itself`,
        hint: expect.stringContaining('npm install --save-dev tsx') as unknown,
      }),
    )
  })
})
