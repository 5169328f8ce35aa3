/**
 * The request by which a client asked for a WebSocket, as `onWebSocketConnect` gets it and as it stays with
 * the connection; and, until it is answered, what the answer says. It keeps no more of the request than this:
 * there may be many thousands.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/** Of use for the handshake only. */
const HANDSHAKE = /^(?:connection|upgrade|sec-websocket-(?:key|version|extensions))$/

export class WebSocketRequest {
  /** As it was sent: path and query. */
  readonly url: string
  /** As it came, and once the handshake is over as lines: these take half the memory. */
  #headers: IncomingHttpHeaders | string
  #subprotocol: string | null = null
  #responseHeaders: Headers | null = null

  /** @param known the subprotocols that the server speaks, the best first. */
  constructor({ url, headers }: Pick<IncomingMessage, 'url' | 'headers'>, known: readonly string[]) {
    this.url = url ?? '/'
    this.#headers = headers
    const offered = this.subprotocols
    this.#subprotocol = known.find((name) => offered.includes(name)) ?? null
  }

  get path(): string {
    const cut = this.url.indexOf('?')
    return cut < 0 ? this.url : this.url.slice(0, cut)
  }

  /** Parsed anew each time. */
  get query(): URLSearchParams {
    const cut = this.url.indexOf('?')
    return new URLSearchParams(cut < 0 ? '' : this.url.slice(cut + 1))
  }

  /** By their names in lower case. Once the handshake is over, without those that were for it, and parsed anew each time. */
  get headers(): IncomingHttpHeaders {
    if (typeof this.#headers !== 'string') return this.#headers
    const lines = this.#headers === '' ? [] : this.#headers.split('\n')
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
    )
  }

  /** Those that the client offers, its favourite first. */
  get subprotocols(): string[] {
    const header = this.headers['sec-websocket-protocol']
    return header === undefined ? [] : header.split(',').map((name) => name.trim())
  }

  /**
   * What is spoken inside: the first of the option `webSocket.protocols` that the client offers. Another of
   * its offers may be chosen until the handshake is answered.
   */
  get subprotocol(): string | null {
    return this.#subprotocol
  }

  /** @throws TypeError for one that the client does not offer: it would end the connection. */
  set subprotocol(name: string | null) {
    if (name !== null && !this.subprotocols.includes(name))
      throw new TypeError(`The subprotocol "${name}" is none that the client offers`)
    this.#subprotocol = name
  }

  /** What the answer to the handshake carries besides its own; of no effect afterwards. */
  get responseHeaders(): Headers {
    this.#responseHeaders ??= new Headers()
    return this.#responseHeaders
  }

  /** Ends the handshake. @returns the header lines of its answer. */
  conclude(): string[] {
    const lines = [...(this.#responseHeaders ?? [])].map(([name, value]) => `${name}: ${value}`)
    this.#responseHeaders = null
    const kept = Object.entries(this.headers).filter(([name]) => !HANDSHAKE.test(name))
    this.#headers = kept.map(([name, value]) => `${name}:${value}`).join('\n')
    return lines
  }
}
