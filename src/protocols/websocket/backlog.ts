/**
 * Messages of one connection that have come while a handler was busy, in order, and how much they are: with
 * more than a little of them the other side is slowed down. Pure.
 */

/** So much may wait before no more is read … */
const MUCH_BYTES = 64 * 1024
/** … until it is so little. */
const LITTLE_BYTES = MUCH_BYTES / 2
/** What a message costs besides its bytes. */
const MESSAGE_COST_BYTES = 64

export class Backlog<Message extends { readonly length: number }> {
  readonly #messages: Message[] = []
  #bytes = 0

  get isEmpty(): boolean {
    return this.#messages.length === 0
  }

  get isMuch(): boolean {
    return this.#bytes > MUCH_BYTES
  }

  get isLittle(): boolean {
    return this.#bytes <= LITTLE_BYTES
  }

  push(message: Message): void {
    this.#messages.push(message)
    this.#bytes += message.length + MESSAGE_COST_BYTES
  }

  /** The eldest; undefined: none waits. */
  shift(): Message | undefined {
    const message = this.#messages.shift()
    if (message !== undefined) this.#bytes -= message.length + MESSAGE_COST_BYTES
    return message
  }
}
