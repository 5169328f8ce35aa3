/**
 * What other servers of this kind call their settings, Workerman and process managers first: whoever moves
 * over writes them by habit, and a setting that nobody reads is a silent fault. Names alone; pure.
 */

/** A name that is somebody else's, and what to write in its place. */
interface Foreign {
  /** Of a value of this type; what else bears the name is the user's own. */
  readonly types: readonly string[]
  readonly hint: string
}

const COUNT: Foreign = { types: ['number', 'string'], hint: 'The number of processes is "count".' }
const LOOP: Foreign = { types: ['string', 'function'], hint: 'Leave it out: there is only the event loop of Node.js.' }

const OPTIONS: ReadonlyMap<string, Foreign> = new Map<string, Foreign>([
  ['processes', COUNT],
  ['workers', COUNT],
  [
    'transport',
    {
      types: ['string'],
      hint: 'The address says it: wss://…, text+tls://… or udp://…; key and cert are in "tls".',
    },
  ],
  [
    'reusePort',
    { types: ['boolean'], hint: 'Leave it out: the master holds the port, and every worker accepts from it.' },
  ],
  ['maxSendBufferSize', { types: ['number'], hint: 'It is "maxSendBufferBytes" here.' }],
  ['maxPackageSize', { types: ['number'], hint: 'It is "maxMessageBytes" here.' }],
  ['eventLoop', LOOP],
])

const STATICS: ReadonlyMap<string, Foreign> = new Map<string, Foreign>([
  ['daemonize', { types: ['boolean'], hint: 'Type it: start -d.' }],
  ['pidFile', { types: ['string'], hint: 'It is in the state directory: Worker.runAll({ stateDir }).' }],
  ['statusFile', { types: ['string'], hint: 'Leave it out: "status" asks the master.' }],
  ['stopTimeout', { types: ['number'], hint: 'It is "stopTimeoutMs" of each Worker.' }],
  ['processTitle', { types: ['string'], hint: 'Leave it out: a title says which worker a process is.' }],
  ['command', { types: ['string'], hint: "Give it to runAll: Worker.runAll({ argv: ['start'] })." }],
  ['eventLoopClass', LOOP],
])

/** What to write in place of an option of that name, where it is known elsewhere. */
export function hintForOption(name: string): string | undefined {
  return OPTIONS.get(name)?.hint
}

/** The same of a property of a worker, which may be the user's own: only a value that such an option has is one. */
export function hintForProperty(name: string, value: unknown): string | undefined {
  return hintOf(OPTIONS.get(name), value)
}

/** The same of a property of the class. */
export function hintForStatic(name: string, value: unknown): string | undefined {
  return hintOf(STATICS.get(name), value)
}

function hintOf(foreign: Foreign | undefined, value: unknown): string | undefined {
  return foreign?.types.includes(typeof value) ? foreign.hint : undefined
}
