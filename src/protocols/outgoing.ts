/**
 * Where the bytes stand that user code sends on an upgraded WebSocket: whether a frame of ours would
 * fall between two of theirs or into one, and whether they have said goodbye by themselves. Fed by
 * `upgrades` with all that is written; it changes nothing.
 */

/**
 * head: the answer to the handshake is not whole yet · between: a frame may begin · within: one has
 * begun · closed: a close frame was sent, nothing may follow (RFC 6455, 5.5.1) · refused: no WebSocket
 */
export type OutgoingState = 'head' | 'between' | 'within' | 'closed' | 'refused'

const MAX_HEAD_BYTES = 64 * 1024
const CLOSE = 0x8

export class Outgoing {
  #head = ''
  /** The first bytes of a frame, until they tell its length. */
  #begun: number[] = []
  #payloadLeft = 0
  #state: OutgoingState = 'head'

  get state(): OutgoingState {
    return this.#state
  }

  note(bytes: Uint8Array): void {
    let at = 0
    if (this.#state === 'head') at = this.#noteHead(bytes)
    while (at < bytes.length && (this.#state === 'between' || this.#state === 'within')) at = this.#noteFrame(bytes, at)
  }

  /** @returns where the frames begin. */
  #noteHead(bytes: Uint8Array): number {
    const before = this.#head.length
    this.#head += Buffer.from(bytes).toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#head.length > MAX_HEAD_BYTES) this.#state = 'refused'
      return bytes.length
    }
    this.#state = /^HTTP\/1\.1 101[ \r]/.test(this.#head) ? 'between' : 'refused'
    this.#head = ''
    return end + 4 - before
  }

  #noteFrame(bytes: Uint8Array, from: number): number {
    if (this.#payloadLeft > 0) {
      const taken = Math.min(this.#payloadLeft, bytes.length - from)
      this.#payloadLeft -= taken
      if (this.#payloadLeft === 0) this.#state = 'between'
      return from + taken
    }
    this.#begun.push(bytes[from] ?? 0)
    this.#state = 'within'
    const [first = 0] = this.#begun
    if ((first & 0x0f) === CLOSE) this.#state = 'closed'
    const length = payloadLength(this.#begun)
    if (length !== null) {
      this.#begun = []
      this.#payloadLeft = length
      if (length === 0 && this.#state === 'within') this.#state = 'between'
    }
    return from + 1
  }
}

/** RFC 6455, 5.2. @returns null while the header is not whole. */
function payloadLength(header: readonly number[]): number | null {
  const second = header[1]
  if (second === undefined) return null
  const short = second & 0x7f
  const longBytes = short === 127 ? 8 : short === 126 ? 2 : 0
  const maskBytes = second & 0x80 ? 4 : 0
  if (header.length < 2 + longBytes + maskBytes) return null
  if (longBytes === 0) return short
  return header.slice(2, 2 + longBytes).reduce((sum, byte) => sum * 256 + byte, 0)
}
