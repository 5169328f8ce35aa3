/** A whole HTTP request, as `onMessage` gets it: the head, and the body read into memory up to a limit. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

export class HttpRequest {
  readonly method: string
  /** As it was sent: path and query. */
  readonly url: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer

  constructor(message: IncomingMessage, body: Buffer) {
    this.method = message.method ?? 'GET'
    this.url = message.url ?? '/'
    const cut = this.url.indexOf('?')
    this.path = cut < 0 ? this.url : this.url.slice(0, cut)
    this.query = new URLSearchParams(cut < 0 ? '' : this.url.slice(cut + 1))
    this.headers = message.headers
    this.body = body
  }

  /** The body as UTF-8 text. */
  text(): string {
    return this.body.toString('utf8')
  }

  /** The body as JSON. @throws SyntaxError when it is none. */
  json(): unknown {
    return JSON.parse(this.text())
  }
}

/** Reads a body. @returns null when it has more than `maxBytes`. */
export async function readBody(message: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  // a stream that is left early would destroy its socket, and the refusal with it
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length
    if (bytes > maxBytes) return null
    chunks.push(chunk as Buffer)
  }
  return chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks)
}
