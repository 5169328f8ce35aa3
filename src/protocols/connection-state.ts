/** What every connection has, whatever it speaks: how far it is, the user's own bag, and hooks of a shape. */

/** The user's own bag on each connection. Declare its members by augmenting this interface. */
export interface ConnectionContext {
  [name: string]: unknown
}

/**
 * opening: `onConnect` has not settled · open · parting: it ends after what was begun · closing: nothing is
 * handled any more, what was sent is still delivered · closed
 */
export type ConnectionState = 'opening' | 'open' | 'parting' | 'closing' | 'closed'

/** A function that may declare narrower arguments than it is typed with, as methods may. */
export type Hook<Arguments extends unknown[], Result = unknown> = { hook(...args: Arguments): Result }['hook']
