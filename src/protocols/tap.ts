/**
 * Sees a server's events on their way to its listeners: a listener of our own would change what Node.js does,
 * and could keep nothing from the others.
 */
import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'

/** @returns true: nobody else hears of it. */
export type Tap = (event: string, first: unknown, second: unknown) => boolean

/** What a listener threw. @returns false: it goes its way, as without a tap. */
export type Catch = (error: unknown, event: string, first: unknown, second: unknown) => boolean

type Emit = (event: string, ...args: unknown[]) => boolean

/** Called for each request, so it makes no array of the arguments. */
export function tapEvents(server: HttpServer | HttpsServer, tap: Tap, caught: Catch | null = null): void {
  const own = Object.hasOwn(server, 'emit') ? (server.emit as Emit) : null
  const emit = function (event: string, first: unknown, second: unknown): boolean {
    if (tap(event, first, second)) return true
    // looked up each time: a tracing library may patch the prototype later
    const next = own ?? (Object.getPrototypeOf(server) as { emit: Emit }).emit
    try {
      // biome-ignore lint/complexity/noArguments: as many as there are, without an array
      return next.apply(server, arguments as unknown as [string, ...unknown[]])
    } catch (error) {
      if (!caught?.(error, event, first, second)) throw error
      return true
    }
  }
  server.emit = emit as unknown as HttpServer['emit']
}
