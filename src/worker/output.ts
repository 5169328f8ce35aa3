/**
 * Keeps the last lines that a worker writes while it starts, so that a failed start can be shown
 * with them wherever its output goes. Each write still goes where it went; the master is told at
 * once of the first bytes (a worker that spins can tell nothing later), then of the tail at the end.
 */

const TAIL_BYTES = 4 * 1024
const TOLD_AT_ONCE_BYTES = 16 * 1024

export interface OutputTail {
  text(): string
  /** Output is not kept any more. */
  release(): void
}

/** @param tell is called with the tail after each early write. */
export function keepOutput(tell: (tail: string) => void): OutputTail {
  let tail = ''
  let toldBytes = 0
  let isKeeping = true
  const note = (chunk: unknown): void => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8')
    tail = (tail + text).slice(-TAIL_BYTES)
    if (toldBytes >= TOLD_AT_ONCE_BYTES) return
    toldBytes += text.length
    tell(tail)
  }
  const restore = [process.stdout, process.stderr].map((stream) => tee(stream, (chunk) => isKeeping && note(chunk)))
  return {
    text: () => tail,
    release: () => {
      isKeeping = false
      tail = ''
      for (const put of restore) put()
    },
  }
}

function tee(stream: NodeJS.WriteStream, note: (chunk: unknown) => void): () => void {
  const original = stream.write
  const teed = function (this: NodeJS.WriteStream, ...args: unknown[]): boolean {
    note(args[0])
    return Reflect.apply(original, this, args) as boolean
  } as typeof stream.write
  stream.write = teed
  return () => {
    // a logger may have wrapped it meanwhile: then ours stays below it and passes everything on
    if (stream.write === teed) stream.write = original
  }
}
