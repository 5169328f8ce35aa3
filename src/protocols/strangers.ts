/**
 * What user code has set on a Worker, or on its class, and nobody would ever read: misspelled hooks, and names that are
 * another server's. Called where the options are checked, and again when `onWorkerStart` has settled, since hooks are
 * set there. Refused and not warned about: a hook that is never called is found only when a client is lost. What is
 * anything else stays the user's own.
 */
import { ShiftworkError } from '../errors.ts'
import { hintForProperty, hintForStatic } from '../spec/foreign.ts'
import { RUN_OPTION_NAMES } from '../spec/settings.ts'
import { slipOf } from '../words.ts'
import { HOOKS } from './callable.ts'

const OF_WORKERS: readonly string[] = [...HOOKS, 'onCheck']
const OF_MASTER: readonly string[] = ['onMasterReload', 'onMasterStop', 'onWorkerExit']

/** Events of `net`, `http`, `ws`, socket.io and Workerman's WebSockets, and what beginners shorten. */
const FOREIGN_HOOKS: ReadonlyMap<string, string> = new Map([
  ['onconnection', 'onConnect'],
  ['onopen', 'onConnect'],
  ['ondata', 'onMessage'],
  ['onreceive', 'onMessage'],
  ['onend', 'onClose'],
  ['ondisconnect', 'onClose'],
  ['onwebsocketclose', 'onClose'],
  ['ondrain', 'onBufferDrain'],
  ['onupgrade', 'onWebSocketConnect'],
  ['onhandshake', 'onWebSocketConnect'],
  ['onstart', 'onWorkerStart'],
  ['onstop', 'onWorkerStop'],
  ['onreload', 'onWorkerReload'],
])

/**
 * Looks at the own properties of a worker.
 * @param name of the worker, for the sentence.
 * @throws ShiftworkError `ERR_OPTION` for the first that looks like a hook or an option and is none.
 */
export function checkProperties(name: string, worker: object): void {
  for (const [property, value] of ownValues(worker)) {
    const hint = hintForProperty(property, value)
    if (hint !== undefined)
      throw new ShiftworkError('ERR_OPTION', `Worker "${name}" has an unknown option "${property}"`, { hint })
    if (typeof value !== 'function' || OF_WORKERS.includes(property)) continue
    const meant = meantHook(property)
    if (meant === undefined) continue
    throw new ShiftworkError('ERR_OPTION', `Worker "${name}" has an unknown hook "${property}"`, {
      hint: OF_MASTER.includes(meant) ? `It is the master's: Worker.${meant} = …` : guess(meant),
    })
  }
}

/**
 * Looks at the own properties of the class.
 * @throws ShiftworkError `ERR_OPTION`, as of a worker's.
 */
export function checkStatics(workerClass: object): void {
  for (const [property, value] of ownValues(workerClass)) {
    const isOfRunAll = (RUN_OPTION_NAMES as readonly string[]).includes(property)
    const hint = isOfRunAll ? `Give it to runAll: Worker.runAll({ ${property} }).` : hintForStatic(property, value)
    if (hint !== undefined)
      throw new ShiftworkError('ERR_OPTION', `The class Worker has no setting "${property}"`, { hint })
    if (typeof value !== 'function' || OF_MASTER.includes(property)) continue
    const meant = meantHook(property)
    if (meant === undefined) continue
    throw new ShiftworkError('ERR_OPTION', `The class Worker has an unknown hook "${property}"`, {
      hint: OF_MASTER.includes(meant) ? guess(meant) : `It is each worker's own: worker.${meant} = …`,
    })
  }
}

/** What was assigned, without calling getters: they are the user's. */
function ownValues(object: object): [name: string, value: unknown][] {
  return Object.entries(Object.getOwnPropertyDescriptors(object))
    .filter(([, { enumerable, get }]) => enumerable && !get)
    .map(([name, { value }]) => [name, value])
}

function guess(meant: string): string {
  return `Did you mean "${meant}"? What is no hook needs another name.`
}

/** @returns undefined: it looks like none of ours. */
function meantHook(property: string): string | undefined {
  const lower = property.toLowerCase()
  if (!lower.startsWith('on')) return undefined
  return slipOf(property, [...OF_WORKERS, ...OF_MASTER]) ?? FOREIGN_HOOKS.get(lower)
}
