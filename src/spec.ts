/**
 * What a start file says, as plain data: one spec per group, checked and with its defaults. The
 * master, the workers and the command line all read the same start file through this one check,
 * so that a wrong option is one clear sentence wherever it is met. Pure.
 */
import { availableParallelism } from 'node:os'
import { type Address, addressKey, parseAddress } from './address.ts'
import { ShiftworkError } from './errors.ts'
import { nearest } from './words.ts'

/** One group of equal processes. Everything here can be sent over a wire and compared. */
export interface Spec {
  name: string
  address: Address | null
  count: number
  reloadable: boolean
  startTimeoutMs: number
  stopTimeoutMs: number
  stopDelayMs: number
  bakeMs: number
  backlog: number
  user: string | null
  group: string | null
  socketMode: number | null
  socketOwner: string | null
  maxRequests: number
  env: Record<string, string>
}

/** The options that are data; the hooks, `tls` and `server` stay with the Worker in its process. */
export const DEFAULTS = {
  count: 1,
  reloadable: true,
  startTimeoutMs: 30_000,
  stopTimeoutMs: 25_000,
  stopDelayMs: 0,
  bakeMs: 1_000,
  backlog: 511,
  maxRequests: 0,
} as const

/** Every name that may stand in the options. */
export const OPTION_NAMES = [
  'name',
  'count',
  'reloadable',
  'startTimeoutMs',
  'stopTimeoutMs',
  'stopDelayMs',
  'bakeMs',
  'backlog',
  'user',
  'group',
  'socketMode',
  'socketOwner',
  'maxRequests',
  'maxMessageBytes',
  'env',
  'tls',
  'server',
] as const

const MAX_COUNT = 1024
const MAX_TIMER_MS = 2 ** 31 - 1
const DEFAULT_KEEP_ALIVE_MS = 5_000

/** What is checked: the values as the user left them, of any type. */
export interface RawWorker {
  listen: unknown
  options: Readonly<Record<string, unknown>>
}

/**
 * Checks all workers of a start file.
 * @returns their specs in the order of the file, and warnings (a sentence each).
 * @throws ShiftworkError `ERR_OPTION` or `ERR_ADDRESS`, for the first thing that is wrong.
 */
export function checkSpecs(workers: readonly RawWorker[]): { specs: Spec[]; warnings: string[] } {
  if (workers.length === 0)
    throw new ShiftworkError('ERR_OPTION', 'The start file describes no worker', {
      hint: "Create one before Worker.runAll(): new Worker('http://0.0.0.0:8080').",
    })
  const warnings: string[] = []
  const specs = workers.map((worker, index) => checkWorker(worker, index, warnings))
  rejectTwins(specs)
  return { specs, warnings }
}

function checkWorker(worker: RawWorker, index: number, warnings: string[]): Spec {
  const { options } = worker
  const name = checkName(options['name'], index)
  rejectUnknown(name, options)
  const check = new OptionCheck(name, options)
  const address = checkAddress(name, worker.listen)
  checkListenOptions(name, address, options)
  const spec: Spec = {
    name,
    address,
    count: check.count(),
    reloadable: check.boolean('reloadable', DEFAULTS.reloadable),
    startTimeoutMs: check.integer('startTimeoutMs', DEFAULTS.startTimeoutMs, 1, MAX_TIMER_MS),
    stopTimeoutMs: check.integer('stopTimeoutMs', DEFAULTS.stopTimeoutMs, 0, MAX_TIMER_MS),
    stopDelayMs: check.integer('stopDelayMs', DEFAULTS.stopDelayMs, 0, MAX_TIMER_MS),
    bakeMs: check.integer('bakeMs', DEFAULTS.bakeMs, 0, MAX_TIMER_MS),
    backlog: check.integer('backlog', DEFAULTS.backlog, 1, 65_535),
    user: check.string('user'),
    group: check.string('group'),
    socketMode: check.optionalInteger('socketMode', 0, 0o777),
    socketOwner: check.string('socketOwner'),
    maxRequests: check.integer('maxRequests', DEFAULTS.maxRequests, 0, Number.MAX_SAFE_INTEGER),
    env: check.env(),
  }
  // it stays with the Worker in its process, like tls and server
  check.optionalInteger('maxMessageBytes', 0, Number.MAX_SAFE_INTEGER)
  warnAboutKeepAlive(spec, options, warnings)
  return spec
}

function checkName(name: unknown, index: number): string {
  if (name === undefined || name === '') return `worker-${index}`
  if (typeof name !== 'string' || !/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u.test(name))
    throw new ShiftworkError('ERR_OPTION', `The name ${show(name)} cannot be used for a worker`, {
      hint: 'A name has at most 64 letters, digits, ".", "_" or "-" and begins with a letter or digit.',
    })
  return name
}

function rejectUnknown(name: string, options: Readonly<Record<string, unknown>>): void {
  for (const option of Object.keys(options)) {
    if ((OPTION_NAMES as readonly string[]).includes(option)) continue
    const guess = nearest(option, OPTION_NAMES)
    throw new ShiftworkError('ERR_OPTION', `Worker "${name}" has an unknown option "${option}"`, {
      hint: guess ? `Did you mean "${guess}"?` : `Known options: ${OPTION_NAMES.join(', ')}.`,
    })
  }
}

function checkAddress(name: string, listen: unknown): Address | null {
  if (listen === undefined || listen === null) return null
  if (typeof listen !== 'string')
    throw new ShiftworkError('ERR_ADDRESS', `Worker "${name}" cannot listen on ${show(listen)}`, {
      hint: 'Give the address as text, for example http://0.0.0.0:8080, or none for a group without a listener.',
    })
  return parseAddress(listen)
}

function checkListenOptions(name: string, address: Address | null, options: Readonly<Record<string, unknown>>): void {
  const refuse = (message: string, hint: string): never => {
    throw new ShiftworkError('ERR_OPTION', `Worker "${name}" ${message}`, { hint })
  }
  const tls = options['tls']
  if (address?.protocol === 'https' && (typeof tls !== 'object' || tls === null))
    refuse('listens on https:// but has no tls', 'Give it { tls: { key, cert } }, both as PEM text or Buffer.')
  if (tls !== undefined && address?.protocol !== 'https')
    refuse('has tls but does not listen on https://', 'Change the address to https://… or remove tls.')
  for (const option of ['socketMode', 'socketOwner'])
    if (options[option] !== undefined && address?.kind !== 'unix')
      refuse(`has ${option} but listens on no unix socket`, `Use http+unix:///path, or remove ${option}.`)
  const server = options['server']
  if (server !== undefined && (typeof server !== 'object' || server === null))
    refuse(
      `has a server option that is ${show(server)}`,
      'It takes the options of node:http, as { keepAliveTimeout: 5000 }.',
    )
}

function rejectTwins(specs: readonly Spec[]): void {
  const names = new Set<string>()
  const addresses = new Map<string, string>()
  for (const spec of specs) {
    if (names.has(spec.name))
      throw new ShiftworkError('ERR_OPTION', `Two workers have the name "${spec.name}"`, {
        hint: 'Give each its own name: new Worker(listen, { name }).',
      })
    names.add(spec.name)
    if (!spec.address || (spec.address.kind === 'tcp' && spec.address.port === 0)) continue
    const key = addressKey(spec.address)
    const other = addresses.get(key)
    if (other !== undefined)
      throw new ShiftworkError(
        'ERR_OPTION',
        `Workers "${other}" and "${spec.name}" both listen on ${spec.address.text}`,
        {
          hint: 'Give each its own address, or make them one worker with a higher count.',
        },
      )
    addresses.set(key, spec.name)
  }
}

function warnAboutKeepAlive(spec: Spec, options: Readonly<Record<string, unknown>>, warnings: string[]): void {
  if (!spec.address) return
  const server = (options['server'] ?? {}) as { keepAliveTimeout?: unknown }
  const keepAliveMs = typeof server.keepAliveTimeout === 'number' ? server.keepAliveTimeout : DEFAULT_KEEP_ALIVE_MS
  if (spec.stopTimeoutMs > keepAliveMs) return
  warnings.push(
    `${spec.name}: stopTimeoutMs (${spec.stopTimeoutMs}) is not above the server's keepAliveTimeout (${keepAliveMs}): ` +
      'idle clients will be cut in every reload',
  )
}

/** Reads options by type; each method throws one sentence with what to do. */
class OptionCheck {
  readonly #name: string
  readonly #options: Readonly<Record<string, unknown>>

  constructor(name: string, options: Readonly<Record<string, unknown>>) {
    this.#name = name
    this.#options = options
  }

  count(): number {
    if (this.#options['count'] === 'cpus') return availableParallelism()
    return this.integer('count', DEFAULTS.count, 1, MAX_COUNT, ` or 'cpus'`)
  }

  integer(option: string, fallback: number, min: number, max: number, or = ''): number {
    const value = this.#options[option]
    if (value === undefined) return fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    throw this.#wrong(option, value, `a whole number from ${min} to ${max}${or}`)
  }

  optionalInteger(option: string, min: number, max: number): number | null {
    return this.#options[option] === undefined ? null : this.integer(option, min, min, max)
  }

  boolean(option: string, fallback: boolean): boolean {
    const value = this.#options[option]
    if (value === undefined) return fallback
    if (typeof value === 'boolean') return value
    throw this.#wrong(option, value, 'true or false')
  }

  string(option: string): string | null {
    const value = this.#options[option]
    if (value === undefined) return null
    if (typeof value === 'string' && value !== '') return value
    throw this.#wrong(option, value, 'text that is not empty')
  }

  env(): Record<string, string> {
    const value = this.#options['env']
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null) throw this.#wrong('env', value, 'an object of text values')
    for (const [key, entry] of Object.entries(value))
      if (typeof entry !== 'string') throw this.#wrong(`env.${key}`, entry, 'text')
    return { ...(value as Record<string, string>) }
  }

  #wrong(option: string, value: unknown, expected: string): ShiftworkError {
    return new ShiftworkError('ERR_OPTION', `Worker "${this.#name}": ${option} is ${show(value)}`, {
      hint: `It must be ${expected}.`,
    })
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}

/**
 * What a new start file changes that a reload does not apply, a sentence each. Numbers that only the
 * master uses (timeouts, `bakeMs`) are not in it: they take effect with the reload.
 */
export function needsRestart(running: readonly Spec[], next: readonly Spec[]): string[] {
  const differences: string[] = []
  const after = new Map(next.map((spec) => [spec.name, spec]))
  const before = new Set(running.map((spec) => spec.name))
  for (const old of running) {
    const fresh = after.get(old.name)
    if (!fresh) {
      differences.push(`${old.name}: removed from the start file`)
      continue
    }
    for (const key of STRUCTURE) {
      const was = structureText(old, key)
      const is = structureText(fresh, key)
      if (was !== is) differences.push(`${old.name}: ${key} ${was} → ${is}`)
    }
  }
  for (const spec of next) if (!before.has(spec.name)) differences.push(`${spec.name}: new in the start file`)
  return differences
}

const STRUCTURE = ['address', 'count', 'reloadable', 'backlog', 'user', 'group', 'socketMode', 'socketOwner'] as const

function structureText(spec: Spec, key: (typeof STRUCTURE)[number]): string {
  if (key === 'address') return spec.address?.text ?? 'none'
  return String(spec[key] ?? 'none')
}
