/**
 * Bounds how many requests one client may have open at a time on one connection: `node:http` parses what comes,
 * and a client that sends without waiting for answers would fill the memory. Called by `http` at each request.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { exchangeOf } from './answer.ts'

/** So many may be open before the client is slowed down; those of one packet more are parsed. */
const MAX_OPEN = 64

/** Stops reading while more than `MAX_OPEN` of this connection are open. */
export function boundBacklog(response: ServerResponse): void {
  const { socket } = response.req
  if (!isOver(socket)) return
  response.once('close', () => {
    if (!isOver(socket)) release(socket)
  })
  if (held.has(socket)) return
  held.add(socket)
  socket.on('resume', hold)
  socket.pause()
}

const held = new WeakSet<Socket>()

function isOver(socket: Socket): boolean {
  return exchangeOf(socket).open.length > MAX_OPEN
}

/** `node:http` reads on by itself when a request is done with. */
function hold(this: Socket): void {
  this.pause()
}

function release(socket: Socket): void {
  if (!held.delete(socket)) return
  socket.off('resume', hold)
  socket.resume()
}
