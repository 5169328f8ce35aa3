/**
 * JSON values over a byte stream, one per line. Both ends of the control socket use it. A line that
 * is too long, or that is no JSON, is the other side's garbage: it is reported, never thrown.
 */

export type Decoded = { ok: true; value: unknown } | { ok: false; reason: 'too-long' | 'not-json' }

export function encodeLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

/** Cuts a stream of chunks into JSON values. After `too-long` the stream is useless: close it. */
export class LineDecoder {
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #bytes = 0

  /** @param maxBytes the longest line that is taken, without its line feed. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push(chunk: Buffer): Decoded[] {
    const decoded: Decoded[] = []
    let rest = chunk
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      this.#append(rest.subarray(0, end))
      decoded.push(this.#take())
      rest = rest.subarray(end + 1)
    }
    this.#append(rest)
    if (this.#bytes > this.#maxBytes) decoded.push(this.#take())
    return decoded
  }

  #append(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#bytes += chunk.length
    this.#chunks.push(chunk)
  }

  #take(): Decoded {
    const tooLong = this.#bytes > this.#maxBytes
    const text = tooLong ? '' : Buffer.concat(this.#chunks).toString('utf8')
    this.#chunks = []
    this.#bytes = 0
    if (tooLong) return { ok: false, reason: 'too-long' }
    try {
      return { ok: true, value: JSON.parse(text) as unknown }
    } catch {
      // not our JSON: the caller answers or drops
      return { ok: false, reason: 'not-json' }
    }
  }
}
