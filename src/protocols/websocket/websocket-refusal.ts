/**
 * How a handshake is refused: what `onWebSocketConnect` returned, as an answer of HTTP. Used by `websocket`
 * before the connection is one. Pure but for the reading of a `Response`.
 */
import { STATUS_CODES } from 'node:http'

/** The only answer on its connection. */
export interface Refusal {
  status: number
  headers: readonly string[]
  body: Uint8Array
}

const NOTHING = new Uint8Array()
const REFUSED = 403

/** @param headers lines that the answer carries besides. */
export function refuseWith(status: number, headers: readonly string[] = []): Refusal {
  return { status, headers, body: NOTHING }
}

/**
 * False: 403 · a number: that status · a `Response`: itself · anything else: the client is welcome.
 * @returns null: welcome. @throws RangeError for a status that refuses nothing.
 */
export async function refusalOf(verdict: unknown): Promise<Refusal | null> {
  if (verdict === false) return refuseWith(REFUSED)
  if (typeof verdict === 'number') return refuseWith(checkStatus(verdict))
  if (!(verdict instanceof Response)) return null
  const headers = [...verdict.headers].map(([name, value]) => `${name}: ${value}`)
  return { status: checkStatus(verdict.status), headers, body: new Uint8Array(await verdict.arrayBuffer()) }
}

function checkStatus(status: number): number {
  if (Number.isInteger(status) && status >= 300 && status <= 599) return status
  throw new RangeError(`onWebSocketConnect refused with the status ${status}: it must be from 300 to 599`)
}

/** As it stands on the wire. */
export function encodeRefusal({ status, headers, body }: Refusal): Buffer {
  const own = headers.filter((line) => !/^(?:connection|content-length|transfer-encoding):/i.test(line))
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    ...own,
    'Connection: close',
    `Content-Length: ${body.length}`,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body])
}
