/**
 * What `node:http` takes and a server must not: requests about which two servers in a row may disagree,
 * where they end or whom they are for. Each is answered 400 before any handler, of ours or of user code,
 * sees it, and what stands behind it is not handled. Called by `http`.
 */
import { type IncomingMessage, METHODS, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { endGently } from '../linger.ts'
import { afterAnswers, refuse } from './answer.ts'
import { BAD_REQUEST } from './malformed.ts'

/**
 * Refuses what `offenceOf` finds. Called for each event of a server, before its listeners: user code may have some
 * beside ours, and must not see it either.
 * @returns true: it was refused.
 */
export function isRefused(event: string, request: unknown, answer: unknown, isHostRequired: boolean): boolean {
  if (event !== 'request' && !isHandedOut(event)) return false
  if (offenceOf(request as IncomingMessage, isHostRequired) === null) return false
  turnAway(request as IncomingMessage, answer as ServerResponse | Duplex)
  return true
}

/** The other events with which a server hands out a request. */
export function isHandedOut(event: string): boolean {
  return event === 'upgrade' || event === 'connect' || event === 'checkContinue' || event === 'checkExpectation'
}

function turnAway({ socket }: IncomingMessage, answer: ServerResponse | Duplex): void {
  if (answer instanceof ServerResponse) {
    refuse(answer, 400)
    return
  }
  // node:http has let go of it, and one that is reset now would be nobody's error. What it hands out may be
  // something before the socket (Node.js 26, an upgrade with a body)
  for (const stream of new Set([answer, socket])) stream.on('error', () => socket.destroy())
  afterAnswers(socket, () => {
    socket.write(BAD_REQUEST)
    endGently(socket)
  })
}

type Head = Pick<IncomingMessage, 'httpVersionMajor' | 'httpVersionMinor' | 'method' | 'rawHeaders'>

const KNOWN_METHODS = new Set(METHODS)
/** uri-host and port (RFC 9110, 7.2), as loosely as it can be written. Empty where the target has no authority. */
const HOST = /^[\w\-.~!$&'()*+,;=%[\]:]*$/

/** The Host that was fine last: most requests are for the same one. */
let fineHost = ''

/** What is wrong with a request's head, for people; null: nothing is. */
export function offenceOf(head: Head, isHostRequired: boolean): string | null {
  const { httpVersionMajor: major, httpVersionMinor: minor, method, rawHeaders } = head
  // 0.9 has no status and no end, 2.0 is another language
  if (major !== 1 || minor > 1) return 'the version'
  // the parser also knows those of RTSP
  if (!KNOWN_METHODS.has(method ?? '')) return 'the method'
  let hosts = 0
  let codings = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (name.length === 4 && name.toLowerCase() === 'host') {
      hosts++
      const host = rawHeaders[index + 1] ?? ''
      if (host !== fineHost && !HOST.test(host)) return 'what Host names'
      fineHost = host
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      codings++
      // `gzip, chunked` has an end that all agree on, but nobody here would unpack it
      if (rawHeaders[index + 1]?.toLowerCase() !== 'chunked') return 'an unknown Transfer-Encoding'
    }
  }
  if (codings > 1) return 'several Transfer-Encodings'
  // RFC 9112, 6.1: its framing is faulty, since a server of 1.0 reads no chunks
  if (codings > 0 && minor === 0) return 'Transfer-Encoding in HTTP/1.0'
  if (hosts > 1) return 'several Hosts'
  if (hosts === 0 && minor === 1 && isHostRequired) return 'no Host'
  return null
}
