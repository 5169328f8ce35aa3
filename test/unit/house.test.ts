/** Holds the source tree to its plan: who may import whom, what only one file may know, how files are made. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Import {
  /** A path below `src`, or the name of a module. */
  readonly target: string
  readonly isTypeOnly: boolean
  readonly isDynamic: boolean
}

interface Source {
  readonly path: string
  readonly text: string
  /** The text without comments. */
  readonly code: string
  readonly imports: Import[]
}

const SOURCES = readSources()

function readSources(): Source[] {
  const paths = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  return paths
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(ROOT, 'src', path), 'utf8')
      const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '')
      return { path, text, code, imports: importsOf(path, code) }
    })
}

function importsOf(path: string, code: string): Import[] {
  const imports: Import[] = []
  const add = (specifier: string, clause: string, isDynamic: boolean): void => {
    const target = specifier.startsWith('.') ? posix.join(dirname(path), specifier) : specifier
    imports.push({ target, isTypeOnly: isTypeOnly(clause), isDynamic })
  }
  for (const match of code.matchAll(/^(?:import|export)\s+([^'";]*?)\s*from\s+'([^']+)'/gm))
    add(match[2] ?? '', match[1] ?? '', false)
  for (const match of code.matchAll(/^import\s+'([^']+)'/gm)) add(match[1] ?? '', '', false)
  for (const match of code.matchAll(/\bimport\('([^']+)'\)/g)) add(match[1] ?? '', '', true)
  return imports
}

/** `type { A }`, or `{ type A, type B }`: nothing of it is left at run time. */
function isTypeOnly(clause: string): boolean {
  if (clause.startsWith('type ')) return true
  const names = /^\{([\s\S]*)\}$/.exec(clause.trim())?.[1]
  return (names ?? 'a value').split(',').every((name) => name.trim() === '' || name.trim().startsWith('type '))
}

/** Every import that a rule forbids, as `file → target`. */
function offences(isForbidden: (source: Source, target: string, how: Import) => boolean): string[] {
  return SOURCES.flatMap((source) =>
    source.imports.filter((how) => isForbidden(source, how.target, how)).map((how) => `${source.path} → ${how.target}`),
  )
}

function folderOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] ?? '') : ''
}

const LEAVES = ['errors.ts', 'words.ts', 'address.ts', 'log.ts', 'version.ts', 'variables.ts', 'patience.ts']
const isLeaf = (path: string): boolean => LEAVES.includes(path) || folderOf(path) === 'spec'
const PROCESSES = ['cli', 'master', 'worker']
const SHARED = ['ipc', 'os', 'protocols', 'inside']
const ABOVE = ['api.ts', 'run-all.ts', 'index.ts']
/** What users import. */
const PUBLIC = ['index.ts', 'gateway/index.ts']

it('is read whole: every import in the source is seen here', () => {
  expect(SOURCES.length).toBeGreaterThan(50)
  for (const { path, code, imports } of SOURCES) {
    const specifiers = code.match(/(\bfrom\s+'[^']+'|^import\s+'[^']+'|\bimport\('[^']+'\))/gm) ?? []
    expect(imports.length, path).toBe(specifiers.length)
  }
  expect(SOURCES.map(({ path }) => folderOf(path))).toEqual(expect.arrayContaining([...PROCESSES, ...SHARED, '']))
})

describe('imports go one way', () => {
  it('the command line, the master and the workers are three processes that never import each other', () => {
    expect(
      offences(
        ({ path }, target) =>
          PROCESSES.includes(folderOf(path)) &&
          PROCESSES.includes(folderOf(target)) &&
          folderOf(path) !== folderOf(target),
      ),
    ).toEqual([])
  })

  it('leaves import leaves', () => {
    expect(offences(({ path }, target) => isLeaf(path) && target.endsWith('.ts') && !isLeaf(target))).toEqual([])
  })

  it('ipc, os, protocols and what user code calls inside a worker import no process and nothing above', () => {
    expect(
      offences(
        ({ path }, target) =>
          SHARED.includes(folderOf(path)) && (PROCESSES.includes(folderOf(target)) || ABOVE.includes(target)),
      ),
    ).toEqual([])
  })

  it('no process imports the public class or the fork in the road', () => {
    expect(offences(({ path }, target) => PROCESSES.includes(folderOf(path)) && ABOVE.includes(target))).toEqual([])
  })

  it('what is above loads each process only where it runs: by type, dynamically, or the worker’s link', () => {
    expect(
      offences(
        ({ path }, target, how) =>
          ABOVE.includes(path) &&
          PROCESSES.includes(folderOf(target)) &&
          !how.isTypeOnly &&
          !how.isDynamic &&
          target !== 'worker/parent.ts',
      ),
    ).toEqual([])
  })

  it('gateways are built on the public names alone, and nothing else knows them', () => {
    const isOfGateways = (path: string): boolean => folderOf(path) === 'gateway'
    expect(
      offences(({ path }, target) => {
        if (!isOfGateways(path)) return isOfGateways(target)
        return target.endsWith('.ts') && !isOfGateways(target) && target !== 'index.ts'
      }),
    ).toEqual([])
  })

  it('there is no circle, types and dynamic imports counted in', () => {
    expect(circles()).toEqual([])
  })

  it('every import leads to a file that is there', () => {
    const paths = new Set(SOURCES.map(({ path }) => path))
    expect(offences((_, target) => target.endsWith('.ts') && !paths.has(target))).toEqual([])
  })
})

/** Each circle of imports once, as `a → b → a`. */
function circles(): string[] {
  const next = new Map(SOURCES.map(({ path, imports }) => [path, imports.map(({ target }) => target)]))
  const found: string[] = []
  const done = new Set<string>()
  const walk = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path)
    if (at >= 0) found.push([...way.slice(at), path].join(' → '))
    if (at >= 0 || done.has(path)) return
    for (const target of next.get(path) ?? []) walk(target, [...way, path])
    done.add(path)
  }
  for (const path of next.keys()) walk(path, [])
  return found
}

describe('only one place knows', () => {
  const importersOf = (name: string): string[] =>
    SOURCES.filter(({ imports }) => imports.some(({ target }) => target === name)).map(({ path }) => path)
  const filesWith = (pattern: RegExp): string[] =>
    SOURCES.filter(({ code }) => pattern.test(code)).map(({ path }) => path)

  it('the command line’s parser, the watcher, WebSocket frames, colours, cookies, forms and files', () => {
    const ALLOWED: Record<string, string[]> = {
      yargs: ['cli/parse.ts'],
      chokidar: ['master/watch/root.ts'],
      ws: ['protocols/websocket/websocket.ts'],
      picocolors: ['cli/terminal.ts'],
      cookie: ['protocols/http/cookies.ts'],
      '@fastify/busboy': ['protocols/http/multipart.ts'],
      '@fastify/send': ['protocols/http/send-file.ts'],
      redis: ['gateway/bus/redis.ts'],
    }
    for (const [name, allowed] of Object.entries(ALLOWED))
      for (const path of importersOf(name)) expect(allowed, `${path} imports ${name}`).toContain(path)
    expect(importersOf('yargs')).toEqual(['cli/parse.ts'])
  })

  it('the metrics: the master, where they are wanted, and only then', () => {
    expect(importersOf('master/metrics/server.ts')).toEqual(['master/main.ts'])
    expect(
      offences((_, target, how) => target === 'master/metrics/server.ts' && !how.isTypeOnly && !how.isDynamic),
    ).toEqual([])
    for (const part of ['metrics-page', 'exposition', 'readiness', 'counters'])
      expect(importersOf(`master/${part}.ts`).filter((path) => !path.startsWith('master/metrics'))).toEqual([])
  })

  it('node:cluster: the master where it forks, the worker where it meets its master', () => {
    expect(importersOf('node:cluster')).toEqual(['master/spawn.ts', 'worker/parent.ts'])
  })

  it('the private members of Node.js: where a listener is made, where it is taken, how much of a long write is, and who reads a pipe', () => {
    expect(filesWith(/_createServerHandle/)).toEqual(['master/listeners.ts'])
    expect(filesWith(/getOwnPropertySymbols|'state symbol'/)).toEqual(['master/datagrams.ts'])
    expect(filesWith(/\brecvSt(?:art|op)\b/)).toEqual(['worker/listen.ts'])
    const knowing = filesWith(/\b_(?:listen2|handle|server|events|socket|http[A-Z]\w*)\b|process\.binding\(/)
    for (const path of knowing)
      expect(['master/listeners.ts', 'worker/listen.ts', 'protocols/linger.ts', 'cli/readergone.ts']).toContain(path)
  })

  it('the private members of ws', () => {
    expect(filesWith(/\b_(?:receiver|sender|state|fragmented|bufferedBytes)\b/)).toEqual([
      'protocols/websocket/websocket.ts',
    ])
  })

  it('the dependencies are few, and no other package is imported', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
      peerDependencies: Record<string, string>
      peerDependenciesMeta: Record<string, { optional: boolean }>
    }
    const dependencies = Object.keys(manifest.dependencies)
    const wanted = Object.keys(manifest.peerDependencies)
    expect(wanted).toEqual(['redis'])
    expect(wanted.every((name) => manifest.peerDependenciesMeta[name]?.optional === true)).toBe(true)
    const ALLOWED = ['@fastify/busboy', '@fastify/send', 'chokidar', 'cookie', 'picocolors', 'ws', 'yargs']
    expect(dependencies.filter((name) => !ALLOWED.includes(name))).toEqual([])
    const isOutside = (target: string): boolean => !target.endsWith('.ts') && !target.startsWith('node:')
    const isLate = (target: string, how: Import): boolean => how.isDynamic && wanted.includes(target)
    expect(
      offences((_, target, how) => isOutside(target) && !dependencies.includes(target) && !isLate(target, how)),
    ).toEqual([])
  })
})

describe('every file', () => {
  it.each(SOURCES.map(({ path, text, code }) => ({ path, text, code })))('$path', ({ path, text, code }) => {
    const lines = text.trimEnd().split('\n').length
    expect(lines, 'lines').toBeLessThanOrEqual(400)
    expect(text.replace(/^#!.*\n/, ''), 'opens by saying what it is').toMatch(/^\/\*\*\s+\S/)
    expect(code, 'has named exports only').not.toMatch(/^export default\b|\bas default\b/m)
    expect(code, 'has no any').not.toMatch(/(?::|\bas|<)\s*any\b/)
    if (!PUBLIC.includes(path)) expect(code, 'is no barrel').not.toMatch(/^export \*|^export \{[^}]*\} from/m)
  })
})

it('only the index re-exports, and nothing but names', () => {
  const index = SOURCES.find(({ path }) => path === 'index.ts')
  const rest = (index?.code ?? '').replaceAll(/^export (?:type )?\{[^}]*\} from '[^']+'$/gm, '')
  expect(rest.trim()).toBe('')
})

it('decides in pure code: the policy reads no clock, draws no chance and touches nothing', () => {
  const names = readdirSync(join(ROOT, 'src/master/policy'))
  expect(names.length).toBeGreaterThan(10)
  for (const name of names) {
    const source = SOURCES.find(({ path }) => path === `master/policy/${name}`)
    expect(source, name).toBeDefined()
    expect(
      source?.imports.filter(({ target }) => target.startsWith('node:')),
      name,
    ).toEqual([])
    expect(source?.code ?? '', name).not.toMatch(
      /\b(?:Date[.(]|performance\.|setTimeout|setInterval|process\.|console\.|Math\.random)/,
    )
  }
})
