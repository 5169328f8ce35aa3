/** Where gateways are looked for, and that nothing new is overlooked. */
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Places } from '../../../src/gateway/peer/places.ts'
import { temporaryDirectory } from '../tempdir.ts'

/** Of long ago: what comes from now on is newer. */
function age(...paths: string[]): void {
  for (const path of paths) utimesSync(path, 1_000_000, 1_000_000)
}

it('sockets are found in the links of every start file in the same folder', () => {
  const folder = join(temporaryDirectory(), '.shiftwork')
  for (const name of ['one.js', 'other.js']) mkdirSync(join(folder, name, 'links'), { recursive: true })
  writeFileSync(join(folder, 'one.js/links/A.sock'), '')
  writeFileSync(join(folder, 'other.js/links/B.sock'), '')
  writeFileSync(join(folder, 'other.js/links/B.log'), '')
  writeFileSync(join(folder, 'other.js/C.sock'), '')
  const found = new Places({ stateDir: join(folder, 'none.js') }).list()
  expect([...found].sort()).toEqual([
    ['A', join(folder, 'one.js/links/A.sock')],
    ['B', join(folder, 'other.js/links/B.sock')],
  ])
})

it('a state directory of another name has no neighbours, and a link directory is itself', () => {
  const root = temporaryDirectory()
  for (const name of ['one', 'other']) mkdirSync(join(root, name, 'links'), { recursive: true })
  writeFileSync(join(root, 'one/links/A.sock'), '')
  writeFileSync(join(root, 'other/links/B.sock'), '')
  expect([...new Places({ stateDir: join(root, 'one') }).list().keys()]).toEqual(['A'])
  expect([...new Places({ linkDir: join(root, 'other/links') }).list().keys()]).toEqual(['B'])
  expect([...new Places({ linkDir: join(root, 'nowhere') }).list().keys()]).toEqual([])
})

it('a place where no gateway has ever been is nowhere, and is named', () => {
  const folder = join(temporaryDirectory(), '.shiftwork')
  const places = new Places({ stateDir: join(folder, 'one.js') })
  expect([places.isNowhere, places.shown]).toEqual([true, join(folder, 'one.js/links')])
  // a neighbour that has no gateways, and one that has, or had
  mkdirSync(join(folder, 'other.js'), { recursive: true })
  expect(places.isNowhere).toBe(true)
  mkdirSync(join(folder, 'other.js/links'))
  expect(places.isNowhere).toBe(false)
  expect(places.shown).toBe([join(folder, 'one.js/links'), join(folder, 'other.js/links')].join(', '))
  const chosen = join(folder, 'chosen')
  expect(new Places({ linkDir: chosen }).isNowhere).toBe(true)
  mkdirSync(chosen)
  expect(new Places({ linkDir: chosen }).isNowhere).toBe(false)
})

it('changes are seen: a socket that comes or goes, a start file that is new, and what has changed just now', () => {
  const folder = join(temporaryDirectory(), '.shiftwork')
  const links = join(folder, 'one.js/links')
  mkdirSync(links, { recursive: true })
  const places = new Places({ stateDir: join(folder, 'one.js') })
  expect(places.hasChanged).toBe(true)
  // so fresh that it may change again unseen
  places.list()
  expect(places.hasChanged).toBe(true)
  const rest = (): void => {
    age(folder, join(folder, 'one.js'), links)
    places.list()
    expect(places.hasChanged).toBe(false)
  }
  rest()
  writeFileSync(join(links, 'A.sock'), '')
  expect(places.hasChanged).toBe(true)
  rest()
  rmSync(join(links, 'A.sock'))
  expect(places.hasChanged).toBe(true)
  rest()
  mkdirSync(join(folder, 'other.js/links'), { recursive: true })
  expect(places.hasChanged).toBe(true)
})

it('a directory that cannot be made is one sentence', () => {
  const root = temporaryDirectory()
  writeFileSync(join(root, 'file'), '')
  expect(() => new Places({ linkDir: join(root, 'file/links') }).prepare()).toThrow(
    expect.objectContaining({
      code: 'ERR_STATE_DIR',
      message: `Cannot make the directory ${join(root, 'file/links')}, where gateways and business workers meet`,
    }),
  )
})

it('a socket is young, then old; one that is not there is not young', () => {
  const links = temporaryDirectory()
  const path = join(links, 'A.sock')
  writeFileSync(path, '')
  const places = new Places({ linkDir: links })
  expect(places.isYoung(path)).toBe(true)
  age(path)
  expect(places.isYoung(path)).toBe(false)
  expect(places.isYoung(join(links, 'gone.sock'))).toBe(false)
})

it('where there is a doubt it is looked at again', () => {
  const links = temporaryDirectory()
  const places = new Places({ linkDir: links })
  age(links)
  places.list()
  expect(places.hasChanged).toBe(false)
  places.doubt()
  expect(places.hasChanged).toBe(true)
})
