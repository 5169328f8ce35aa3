/** Words typed on a command line, in any directory and as any user, and what comes back. */
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { BIN, type Project, type Result } from './project.ts'

export interface Where {
  cwd?: string
  env?: Record<string, string>
}

/** `shiftwork …`, the words as they are. */
export function shiftwork(project: Project, words: readonly string[], where: Where = {}): Promise<Result> {
  return project.exec(process.execPath, [BIN, ...words], where)
}

/**
 * A command that looks (`status`, `connections`), typed again while it ends with 4: the master has not read it within
 * 1.2 s, which a machine that is busy enough cannot promise. For tests in which it is to be heard.
 */
export async function untilHeard(type: () => Promise<Result>): Promise<Result> {
  for (const giveUpAt = performance.now() + 30_000; ; ) {
    const result = await type()
    if (result.code !== 4 || performance.now() >= giveUpAt) return result
  }
}

const LOOKS = ['status', 'connections']

/** The same for the words of any command: one that changes something waits long enough by itself, and is typed once. */
export function heard(words: readonly string[], type: () => Promise<Result>): Promise<Result> {
  return words.some((word) => LOOKS.includes(word)) ? untilHeard(type) : type()
}

/** The one JSON value that stdout must hold; throws when there is more, or less, in it. */
export function oneJson<T>(result: Result): T {
  if (!/^[^\n]+\n$/.test(result.stdout)) throw new Error(`not one line: ${JSON.stringify(result.stdout)}`)
  return JSON.parse(result.stdout) as T
}

/** What `--json` prints instead of a result. */
export interface JsonError {
  error: { code: string; message: string; hint: string | null }
  exitCode: number
}

const NOBODY = '65534'
const isRoot = process.getuid?.() === 0
const SETPRIV = '/usr/bin/setpriv'

const BECOME_NOBODY = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups']

/** False where the tests run as root and nobody else can run this package: no setpriv, or a private directory. */
export const canBeNobody =
  !isRoot || spawnSync(SETPRIV, [...BECOME_NOBODY, process.execPath, BIN, 'version']).status === 0

/** The same words, typed by a user without any rights. */
export function asNobody(project: Project, words: readonly string[], where: Where = {}): Promise<Result> {
  chmodSync(project.root, 0o755)
  if (!isRoot) return shiftwork(project, words, where)
  return project.exec(SETPRIV, [...BECOME_NOBODY, process.execPath, BIN, ...words], where)
}

/** A directory of the project that anybody may write to. */
export function openToAll(project: Project, name: string): string {
  project.write(join(name, '.keep'), '')
  const path = join(project.dir, name)
  chmodSync(path, 0o777)
  return path
}

/** One of the `quietPorts`. */
export async function freePort(): Promise<number> {
  const [port] = await quietPorts(1)
  if (port === undefined) throw new Error('no port is free')
  return port
}

/**
 * Ports that are free, and that the kernel gives to nobody who does not ask for them: a client's own
 * end of a connection can take a port of the other kind at any moment. No test that runs meanwhile gets them, either.
 */
export async function quietPorts(count: number): Promise<number[]> {
  const found: number[] = []
  for (let tries = 0; found.length < count && tries < 1_000; tries++) {
    const port = nextPort()
    if (await isFree(port)) found.push(port)
  }
  return found
}

/** Of the ports below those that the kernel gives, each process that runs tests has its own, and takes one after another. */
const RUNS = 8
const PROCESSES = 8
let taken = Math.floor(Math.random() * 1_000)

function nextPort(): number {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  const from = Math.floor(Number(range.trim().split(/\s+/)[0]) / 2)
  const slice = (process.ppid % RUNS) * PROCESSES + (Number(process.env['VITEST_POOL_ID'] ?? 0) % PROCESSES)
  const size = Math.floor(from / (RUNS * PROCESSES))
  return from + slice * size + (taken++ % size)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)))
  })
}
