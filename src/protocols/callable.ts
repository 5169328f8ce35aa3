/**
 * Whether the hooks of a worker can be called. A framework's application is often an object with a method that can:
 * set as it is, every request would fail while the start succeeds. Called before a worker serves.
 */
import { ShiftworkError } from '../errors.ts'
import type { Subject, WorkerHooks } from './hooks.ts'

/** Every hook that runs in a worker. */
export const HOOKS = Object.keys({
  onWorkerStart: 1,
  onWorkerServing: 1,
  onWorkerStop: 1,
  onWorkerReload: 1,
  onLeader: 1,
  onStatus: 1,
  onRequest: 1,
  onWebSocketConnect: 1,
  onConnect: 1,
  onMessage: 1,
  onClose: 1,
  onError: 1,
  onBufferFull: 1,
  onBufferDrain: 1,
} satisfies Record<keyof WorkerHooks<never>, 1>) as (keyof WorkerHooks<never>)[]

/** @throws ShiftworkError `ERR_OPTION` for the first that is set to anything but a function. */
export function checkHooks(subject: Subject): void {
  for (const name of HOOKS) {
    const hook: unknown = subject[name]
    if (hook === null || hook === undefined || typeof hook === 'function') continue
    throw new ShiftworkError('ERR_OPTION', `${name} is ${kindOf(hook)}, and must be a function`, {
      hint: `Set ${name} to ${remedyOf(hook)}.`,
    })
  }
}

function kindOf(hook: unknown): string {
  if (isModule(hook)) return 'a whole module'
  return typeof hook === 'object' ? 'an object' : `a ${typeof hook}`
}

/** By what the frameworks' applications have and plain objects have not. */
function remedyOf(hook: unknown): string {
  if (isModule(hook)) return 'one of the functions that the module exports'
  if (hasMethod(hook, 'callback')) return 'app.callback(), as Koa has it'
  if (hasMethod(hook, 'routing')) return 'app.routing, as Fastify has it, after app.ready()'
  if (hasMethod(hook, 'fetch')) return "getRequestListener(app.fetch), of '@hono/node-server'"
  return 'a function, or to null'
}

function isModule(hook: unknown): boolean {
  return Object.prototype.toString.call(hook) === '[object Module]'
}

function hasMethod(hook: unknown, name: string): boolean {
  return typeof (hook as Record<string, unknown>)[name] === 'function'
}
