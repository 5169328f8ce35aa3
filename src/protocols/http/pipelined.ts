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
  if (!isOver(socket) || held.has(socket)) return
  held.add(socket)
  socket.on('resume', hold)
  socket.pause()
  awaitFirst(socket)
}

const held = new WeakSet<Socket>()

function isOver(socket: Socket): boolean {
  return exchangeOf(socket).open.length > MAX_OPEN
}

/** Answers are given in order. The last one would be the wrong one to wait for: its body may not be read yet. */
function awaitFirst(socket: Socket): void {
  exchangeOf(socket).open[0]?.once('close', answered)
}

function answered(this: ServerResponse): void {
  const { socket } = this.req
  if (isOver(socket)) awaitFirst(socket)
  else release(socket)
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
