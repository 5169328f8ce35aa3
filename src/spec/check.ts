/**
 * The one check of a start file's workers: the values as the user left them in, specs with their
 * defaults out. The master, the workers and the command line all read the start file through it, so
 * that a wrong option is one clear sentence wherever it is met. Pure.
 */
import { type Address, addressKey, hasAnyPort, isSecure, parseAddress, securedBy, speechOf } from '../address.ts'
import { ShiftworkError } from '../errors.ts'
import { nearest } from '../words.ts'
import { checkConnections } from './connections.ts'
import { hintForOption } from './foreign.ts'
import { OptionCheck, show } from './options.ts'
import { findOrderFault } from './order.ts'
import { DEFAULTS, type HealthCheck, MAX_TIMER_MS, OPTION_NAMES, type Spec } from './spec.ts'

const DEFAULT_KEEP_ALIVE_MS = 5_000

/** What is checked: the values as the user left them, of any type. */
export interface RawWorker {
  listen: unknown
  options: Readonly<Record<string, unknown>>
  /** What the worker's own code has to say against it, thrown. */
  check?(name: string): unknown
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
  const fault = findOrderFault(specs)
  if (fault) throw new ShiftworkError('ERR_OPTION', fault.message, { hint: fault.hint })
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
    count: check.count('count', DEFAULTS.count),
    reloadable: check.boolean('reloadable', DEFAULTS.reloadable),
    startTimeoutMs: check.integer('startTimeoutMs', DEFAULTS.startTimeoutMs, 1, MAX_TIMER_MS),
    stopTimeoutMs: check.integer('stopTimeoutMs', DEFAULTS.stopTimeoutMs, 0, MAX_TIMER_MS),
    stopDelayMs: check.integer('stopDelayMs', DEFAULTS.stopDelayMs, 0, MAX_TIMER_MS),
    hangTimeoutMs: check.integer('hangTimeoutMs', DEFAULTS.hangTimeoutMs, 0, MAX_TIMER_MS),
    bakeMs: check.integer('bakeMs', DEFAULTS.bakeMs, 0, MAX_TIMER_MS),
    backlog: check.integer('backlog', DEFAULTS.backlog, 1, 65_535),
    user: check.account('user'),
    group: check.account('group'),
    socketMode: check.optionalInteger('socketMode', 0, 0o777),
    socketOwner: check.string('socketOwner'),
    after: checkAfter(name, check),
    healthCheck: checkHealth(name, check, address),
    maxRequests: check.integer('maxRequests', DEFAULTS.maxRequests, 0, Number.MAX_SAFE_INTEGER),
    maxMemoryBytes: check.integer('maxMemoryBytes', DEFAULTS.maxMemoryBytes, 0, Number.MAX_SAFE_INTEGER),
    maxLifetimeMs: check.integer('maxLifetimeMs', DEFAULTS.maxLifetimeMs, 0, MAX_TIMER_MS),
    sweepChildren: check.boolean('sweepChildren', DEFAULTS.sweepChildren),
    env: check.env(),
  }
  checkConnections(check, address)
  warnAboutKeepAlive(spec, options, warnings)
  worker.check?.(name)
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
      hint:
        hintForOption(option) ?? (guess ? `Did you mean "${guess}"?` : `Known options: ${OPTION_NAMES.join(', ')}.`),
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
  const scheme = address?.protocol ?? 'http'
  if (isSecure(scheme) && (typeof tls !== 'object' || tls === null))
    refuse(`listens on ${scheme}:// but has no tls`, 'Give it { tls: { key, cert } }, both as PEM text or Buffer.')
  if (tls !== undefined && !isSecure(scheme)) {
    const secure = securedBy(scheme)
    const change = secure ? `Change the address to ${secure}://… or remove tls.` : 'Remove tls.'
    refuse(`has tls but does not listen on ${secure ?? 'what can carry it'}${secure ? '://' : ''}`, change)
  }
  for (const option of ['socketMode', 'socketOwner'])
    if (options[option] !== undefined && address?.kind !== 'unix')
      refuse(`has ${option} but listens on no unix socket`, `Use ${scheme}+unix:///path, or remove ${option}.`)
  const server = options['server']
  if (server !== undefined && (typeof server !== 'object' || server === null))
    refuse(
      `has a server option that is ${show(server)}`,
      'It takes the options of node:http, as { keepAliveTimeout: 5000 }.',
    )
}

function checkAfter(name: string, check: OptionCheck): string[] {
  const after = check.strings('after')
  if (new Set(after).size === after.length) return after
  throw new ShiftworkError('ERR_OPTION', `Worker "${name}": after names a worker twice`, { hint: 'Once is enough.' })
}

/** A path, a function, or either of them with its times. */
function checkHealth(name: string, check: OptionCheck, address: Address | null): HealthCheck | null {
  const value = check.value('healthCheck')
  if (value === undefined) return null
  const isPlain = typeof value === 'string' || typeof value === 'function'
  const options = isPlain ? { check: value } : check.object('healthCheck', HEALTH_NAMES)
  const inner = new OptionCheck(`${name}": "healthCheck`, options)
  const how = options['check']
  if (typeof how !== 'function' && !(typeof how === 'string' && how.startsWith('/')))
    throw new ShiftworkError('ERR_OPTION', `Worker "${name}": healthCheck asks ${show(how)}`, {
      hint: 'Give it a path of this worker (/health) or a function that returns true, alone or as { check, timeoutMs … }.',
    })
  if (typeof how === 'string' && (!address || speechOf(address.protocol) !== 'http'))
    throw new ShiftworkError(
      'ERR_OPTION',
      `Worker "${name}" has a healthCheck path but no listener${address ? ' for HTTP' : ''}`,
      {
        hint: 'Give it a function: healthCheck: (worker) => queue.isConnected().',
      },
    )
  const tls = check.value('tls') as { requestCert?: unknown; rejectUnauthorized?: unknown } | undefined
  if (typeof how === 'string' && tls?.requestCert === true && tls.rejectUnauthorized !== false)
    throw new ShiftworkError('ERR_OPTION', `Worker "${name}" demands client certificates and has a healthCheck path`, {
      hint: 'It has no certificate to ask itself with: give it a function instead of a path.',
    })
  return {
    path: typeof how === 'string' ? how : null,
    timeoutMs: inner.integer('timeoutMs', DEFAULTS.healthCheck.timeoutMs, 1, MAX_TIMER_MS),
    retries: inner.integer('retries', DEFAULTS.healthCheck.retries, 0, 1_000),
    retryDelayMs: inner.integer('retryDelayMs', DEFAULTS.healthCheck.retryDelayMs, 0, MAX_TIMER_MS),
    everyMs: inner.integer('everyMs', DEFAULTS.healthCheck.everyMs, 0, MAX_TIMER_MS),
  }
}

const HEALTH_NAMES = ['check', 'timeoutMs', 'retries', 'retryDelayMs', 'everyMs']

function rejectTwins(specs: readonly Spec[]): void {
  const names = new Set<string>()
  const addresses = new Map<string, string>()
  for (const spec of specs) {
    if (names.has(spec.name))
      throw new ShiftworkError('ERR_OPTION', `Two workers have the name "${spec.name}"`, {
        hint: 'Give each its own name: new Worker(listen, { name }).',
      })
    names.add(spec.name)
    if (!spec.address || hasAnyPort(spec.address)) continue
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
  if (!spec.address || speechOf(spec.address.protocol) !== 'http') return
  const server = (options['server'] ?? {}) as { keepAliveTimeout?: unknown }
  const keepAliveMs = typeof server.keepAliveTimeout === 'number' ? server.keepAliveTimeout : DEFAULT_KEEP_ALIVE_MS
  if (spec.stopTimeoutMs > keepAliveMs) return
  warnings.push(
    `${spec.name}: stopTimeoutMs (${spec.stopTimeoutMs}) is not above the server's keepAliveTimeout (${keepAliveMs}): ` +
      'idle clients will be cut in every reload',
  )
}
