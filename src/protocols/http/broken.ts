/**
 * Answers that will not come to their end: nobody may take what has come of one for the whole. Called by `http`,
 * its connections, and `traffic` at a deadline.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Ends the connection of this answer, whose head is written, at once or when the answers before it are given. */
export function breakOff(response: ServerResponse): void {
  const { socket } = response
  if (socket) {
    closeBroken(socket, response)
    return
  }
  // Node.js 24 only says that it is closed, and would begin to send it, and never end it, when its turn comes
  response.once('socket', (late: Socket) => closeBroken(late, response))
  response.destroy()
}

/** Closes at once. @param response the answer that is on its way there, if there is one. */
export function closeBroken(socket: Socket, response: ServerResponse | undefined): void {
  if (response && endsWithConnection(response) && canReset(socket)) socket.resetAndDestroy()
  else socket.destroy()
}

/** To a client of HTTP/1.0, which nginx is by default, a regular end of the connection is the end of the answer. */
function endsWithConnection(response: ServerResponse): boolean {
  if (!response.headersSent || response.chunkedEncoding) return false
  // the head that was written: what is given to `writeHead` is no header that was set
  const { _header: head, _hasBody: hasBody } = response as ServerResponse & { _header?: unknown; _hasBody?: unknown }
  return hasBody !== false && !/^content-length:/im.test(String(head))
}

/** Neither TLS nor a unix socket has such a thing, nor a connection that was ended or is gone. */
function canReset(socket: Socket): boolean {
  return socket.writable && socket.remoteAddress !== undefined && !('encrypted' in socket)
}
