/** Where a watch looks, what counts as code, and what never is a change. */
import { describe, expect, it } from 'vitest'
import {
  defaultRoot,
  isCode,
  namedRoots,
  nameFiles,
  rulesFor,
  type WatchRules,
} from '../../../../src/master/watch/rules.ts'

const PROJECT = { path: '/srv/app', isWhole: false }
const OWN = { realRoot: '/srv/app', directories: ['/srv/app/state'], logs: ['/srv/app/logs/app.json'] }

function rules(isWhole: boolean, path = PROJECT.path): WatchRules {
  return rulesFor({ path, isWhole }, { ...OWN, realRoot: path })
}

describe('the default root', () => {
  const rootOf = (startFile: string, packages: string[]): string =>
    defaultRoot(startFile, { isFile: (path) => packages.includes(path), home: '/home/ann' }).path

  it.each([
    ['/srv/app/src/start.ts', ['/srv/app/package.json'], '/srv/app'],
    ['/srv/app/src/start.ts', ['/srv/app/package.json', '/srv/app/src/package.json'], '/srv/app/src'],
    ['/srv/app/src/start.ts', [], '/srv/app/src'],
    ['/home/ann/app/start.ts', ['/home/ann/package.json'], '/home/ann/app'],
    ['/home/ann/start.ts', ['/home/ann/package.json'], '/home/ann'],
    ['/srv/start.ts', ['/package.json'], '/srv'],
    ['/srv/node_modules/tool/start.js', ['/srv/package.json'], '/srv/node_modules/tool'],
    ['/start.js', ['/package.json'], '/'],
  ])('of %s with %j is %s', (startFile, packages, root) => {
    expect(rootOf(startFile, packages)).toBe(root)
  })
})

it('named paths are seen from the start file’s directory, each once, and watched whole', () => {
  expect(namedRoots(['dist', './dist', '../shared', '/etc/app.conf'], '/srv/app/start.js')).toEqual([
    { path: '/srv/app/dist', isWhole: true },
    { path: '/srv/shared', isWhole: true },
    { path: '/etc/app.conf', isWhole: true },
  ])
})

it.each([
  ...['a.ts', 'a.mts', 'a.cts', 'a.tsx', 'a.js', 'a.mjs', 'a.cjs', 'a.jsx'].map((name) => [name, true] as const),
  ...['package.json', 'addon.node', 'a.wasm', '.env', '.env.local'].map((name) => [name, true] as const),
  ...['a.d.ts', 'a.d.mts', 'data.sqlite', 'data.sqlite-journal', 'app.log'].map((name) => [name, false] as const),
  ...['photo.png', 'README.md', 'ts', '.environment', 'dump.rdb', 'a.ts.map'].map((name) => [name, false] as const),
])('%s is code: %s', (name, expected) => {
  expect(isCode(name)).toBe(expected)
})

describe('what never is a change', () => {
  const NEVER = [
    'node_modules/lib/index.js',
    'src/node_modules/lib/index.js',
    '.git/hooks/a.js',
    '.shiftwork/start.ts/x.json',
    'state/x.json',
    'state',
    'logs/app.json',
    'logs/app.json.1',
    'logs/app.json-20260101',
    'src/4913',
    'src/.app.js.swp',
    'src/app.js~',
    'src/.#app.js',
    'src/#app.js#',
    'src/app.js___jb_tmp___',
    'src/app.js___jb_old___',
    'src/.goutputstream-A1B2C3',
    'src/app.js.tmp',
    'src/.nfs00000000deadbeef',
  ]
  it.each(NEVER)('%s', (path) => {
    for (const isWhole of [true, false])
      expect(rules(isWhole).isIgnored(`/srv/app/${path}`), String(isWhole)).toBe(true)
  })

  it('the settings of tools count only where the user named their directory', () => {
    expect(rules(false).isIgnored('/srv/app/.vscode/settings.json')).toBe(true)
    expect(rules(true).isIgnored('/srv/app/.vscode/settings.json')).toBe(false)
    expect(rules(false).isWanted('/srv/app/.env')).toBe(true)
  })

  it('what was named itself counts, wherever it is', () => {
    const path = '/srv/app/node_modules/mine'
    expect(rules(true, path).isWanted(`${path}/index.js`)).toBe(true)
    expect(rules(true, path).isWanted(`${path}/node_modules/other/index.js`)).toBe(false)
  })

  it('the runtime’s own files are known through a symlink', () => {
    const root = { path: '/srv/current', isWhole: true }
    const own = { realRoot: '/srv/releases/5', directories: ['/srv/releases/5/state'], logs: [] }
    expect(rulesFor(root, own).isIgnored('/srv/current/state/control.sock')).toBe(true)
  })
})

it('a database beside the code is no change; where the user named the directory, everything is', () => {
  expect(rules(false).isWanted('/srv/app/data.sqlite')).toBe(false)
  expect(rules(true).isWanted('/srv/app/data.sqlite')).toBe(true)
})

it.each([
  [['/srv/app/src/app.ts'], 'src/app.ts'],
  [['/srv/app/b.ts', '/srv/app/a.ts', '/srv/app/a.ts'], 'a.ts and 1 more'],
  [['/srv/shared/lib.ts'], '../shared/lib.ts'],
  [['/etc/app.conf'], '/etc/app.conf'],
])('%j is named %s', (paths, text) => {
  expect(nameFiles(paths, '/srv/app')).toBe(text)
})
