/**
 * Opens the socket of an outgoing connection: looks the name up, connects, and shakes hands where it is
 * TLS, all of it within one time. What goes wrong is one sentence that names the address.
 */
import { connect as connectPlain, isIP, Socket } from 'node:net'
import { type ConnectionOptions, connect as connectSecure } from 'node:tls'
import { type Address, isSecure } from '../address.ts'
import { describeError, ShiftworkError, systemCode } from '../errors.ts'
import { shortSocketPath } from '../os/socketpath.ts'
import { waitAwake } from '../patience.ts'

export interface Target {
  readonly address: Address
  /** The address in sentences. */
  readonly name: string
  /** For an address inside TLS. */
  readonly tls: ConnectionOptions
  /** For everything until it is connected. */
  readonly timeoutMs: number
}

/** What has not happened yet. */
type Stage = 'lookup' | 'accept' | 'handshake'

const LATE: Record<Stage, string> = {
  lookup: 'its name was not looked up',
  accept: 'nothing has accepted',
  handshake: 'its TLS handshake was not done',
}

/** As `createServer` has it: the other side may end and still be answered. */
const SOCKET_OPTIONS = { allowHalfOpen: true }
const KEEP_ALIVE_MS = 60_000

/**
 * Begins to connect; destroy the socket to give up.
 * @returns `connected` rejects with `ERR_CONNECT`. The socket has a listener for errors from then on, too.
 */
export function dial(target: Target): { socket: Socket; connected: Promise<void> } {
  const { address, name, timeoutMs } = target
  const socket = openSocket(target)
  // as options, Node.js 20 would not hand them to a socket inside TLS
  socket.once('connect', () => socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS))
  const begunAt = performance.now()
  let stage: Stage = address.kind === 'unix' || isIP(address.host) ? 'accept' : 'lookup'
  const connected = new Promise<void>((resolve, reject) => {
    const late = (): void => {
      reject(tooLate(target, LATE[stage]))
      socket.destroy()
    }
    let endWait = waitAwake(timeoutMs, late)
    const noteStage = (reached: Stage) => () => {
      if (socket.destroyed) return
      stage = reached
      endWait()
      endWait = waitAwake(leftMs(timeoutMs, begunAt), late)
    }
    socket.once('lookup', noteStage('accept')).once('connect', noteStage('handshake'))
    socket.once(isSecure(address.protocol) ? 'secureConnect' : 'connect', () => {
      endWait()
      resolve()
    })
    socket.on('error', (error) => reject(cannotConnect(name, error)))
    socket.once('close', () => {
      endWait()
      reject(new ShiftworkError('ERR_CONNECT', `Cannot connect to ${name}: it was closed`))
    })
  })
  return { socket, connected }
}

/**
 * How much of the time is left to the next stage, on the clock of `performance.now()`: a quarter at least, since the
 * ones before may have ended long before this process could hear of it.
 */
export function leftMs(timeoutMs: number, begunAt: number): number {
  return Math.max(timeoutMs / 4, timeoutMs - (performance.now() - begunAt))
}

function openSocket(target: Target): Socket {
  const { address } = target
  if (address.kind !== 'unix') return openSocketTo({ host: address.host, port: address.port }, target)
  let short: ReturnType<typeof shortSocketPath>
  try {
    short = shortSocketPath(address.path)
  } catch (error) {
    // its directory is not there: told in the same way as by the kernel
    return new Socket().destroy(error as Error)
  }
  const socket = openSocketTo({ path: short.path }, target)
  short.release()
  return socket
}

function openSocketTo(where: { path: string } | { host: string; port: number }, { address, tls }: Target): Socket {
  if (!isSecure(address.protocol)) return connectPlain({ ...SOCKET_OPTIONS, ...where })
  // a certificate is made out to a name
  const name = address.kind !== 'unix' && !isIP(address.host) ? { servername: address.host } : {}
  return connectSecure({ ...SOCKET_OPTIONS, ...name, ...tls, ...where })
}

/** What a system error means to people. */
const MEANINGS: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ECONNREFUSED: ['connection refused', 'Nothing listens there: look whether it runs, and on which port.'],
  ENOTFOUND: ['the host name is not known', 'Correct the name, or use an address.'],
  EAI_AGAIN: ['the host name cannot be looked up now', 'Look whether the name server is reachable.'],
  ETIMEDOUT: ['it does not answer', 'Look whether the machine is up, and whether a firewall is between.'],
  EHOSTUNREACH: ['the host cannot be reached', 'Look whether the machine is up, and whether a firewall is between.'],
  ENETUNREACH: ['its network cannot be reached', 'Look whether this machine has a route to it.'],
  ECONNRESET: ['it hung up', 'Look into the log of what listens there.'],
  ENOENT: ['there is no such socket', 'Look whether what is to listen there runs.'],
  EACCES: ['permission denied', 'Look at the permissions of the socket, and of its directory.'],
}

/** It took longer than it may. @param what has not happened. */
export function tooLate({ name, timeoutMs }: Pick<Target, 'name' | 'timeoutMs'>, what: string): ShiftworkError {
  const hint = 'Look whether it is reachable and answers, or raise connectTimeoutMs.'
  return new ShiftworkError('ERR_CONNECT', `Cannot connect to ${name}: ${what} within ${timeoutMs} ms`, { hint })
}

/** What went wrong, in a sentence. @param name of what is connected to. */
export function cannotConnect(name: string, error: unknown): ShiftworkError {
  const [what, hint] = MEANINGS[systemCode(error) ?? ''] ?? [describeError(error).message, undefined]
  return new ShiftworkError('ERR_CONNECT', `Cannot connect to ${name}: ${what}`, {
    hint,
    cause: error,
  })
}
