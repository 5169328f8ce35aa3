/**
 * What a client gets whose bytes are no HTTP, or come too slowly: answers to what it had asked before,
 * then the status, then the end. Node.js would send the status at once, in the place of an answer that is
 * still being made. Called by `http` for the server's `clientError`.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { endGently } from '../linger.ts'
import { exchangeOf } from './answer.ts'

export const BAD_REQUEST = answerOf('400 Bad Request')

/** As Node.js answers them by itself. */
const ANSWERS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: answerOf('431 Request Header Fields Too Large'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: answerOf('413 Payload Too Large'),
  ERR_HTTP_REQUEST_TIMEOUT: answerOf('408 Request Timeout'),
}

function answerOf(status: string): string {
  return `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
}

const told = new WeakSet<Socket>()

/** Answers and closes. Anything but a fault of the client's bytes, a lost connection for one, only closes. */
export function answerMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  const { code = '' } = error
  const isOfBytes = code.startsWith('HPE_')
  const answer = ANSWERS[code] ?? (isOfBytes ? BAD_REQUEST : null)
  if (answer !== null && (told.has(socket) || (isOfBytes && !socket.writable))) {
    // what comes behind the fault, or behind the last answer, is a fault again: it is thrown away, since a
    // socket that is closed while its client sends is reset, and the answer may be lost with it
    return
  }
  if (answer === null || !socket.writable) {
    socket.destroy(error)
    return
  }
  told.add(socket)
  const { open } = exchangeOf(socket)
  const before = open.findLast((response) => response.req.complete)
  const broken = open.find((response) => !response.req.complete)
  if (before) before.once('close', () => endBroken(socket, broken, answer))
  else endBroken(socket, broken, answer)
}

/** @param broken the request whose body makes no sense, if it is one that has a head. */
function endBroken(socket: Socket, broken: ServerResponse | undefined, answer: string): void {
  // the answer before may have closed the connection itself
  if (socket.destroyed || !socket.writable) return
  // its answer has begun, and will not come to an end
  if (broken?.headersSent && !broken.writableEnded) {
    socket.destroy()
    return
  }
  if (!broken?.writableEnded) socket.write(answer)
  endGently(socket)
}
