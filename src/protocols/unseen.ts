/**
 * Marks what a worker opens for itself: a health check's listener and its connections. `traffic` does
 * not count what is marked and does not wait for it, and no connection hook is called for it.
 */
import type { EventEmitter } from 'node:events'

const UNSEEN = Symbol('shiftwork.unseen')

/** Marks a server or a socket, before anybody has heard of it. */
export function markUnseen(own: EventEmitter): void {
  Object.assign(own, { [UNSEEN]: true })
}

export function isUnseen(candidate: EventEmitter): boolean {
  return UNSEEN in candidate
}
