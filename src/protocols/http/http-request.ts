/** A whole HTTP request, as `onMessage` gets it: the head, and the body read into memory up to a limit. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { append, createParseState, waiting, waitingBytes } from '../stream/parse.ts'
import { type Cookies, parseCookies } from './cookies.ts'
import { type Multipart, type MultipartLimits, parseMultipart, type UploadedFile } from './multipart.ts'
import { RequestError } from './request-error.ts'

/** The scheme and the authority of a target that is a whole address, as a proxy is sent (RFC 9112, 3.2.2). */
const ABSOLUTE = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i

/** Its methods throw `RequestError`: a handler that lets one through has answered 400, 413 or 415. */
export class HttpRequest {
  readonly method: string
  /** As it was sent: path and query. */
  readonly url: string
  /** As it was sent, with its escapes; `decodedPath` is without. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly #search: string
  readonly #authority: string | undefined
  #query: URLSearchParams | null = null
  #cookies: Cookies | null = null

  constructor(message: IncomingMessage, body: Buffer) {
    this.method = message.method ?? 'GET'
    this.url = message.url ?? '/'
    this.headers = message.headers
    this.body = body
    const absolute = this.url.startsWith('/') ? null : ABSOLUTE.exec(this.url)
    const target = this.url.slice(absolute?.[0].length ?? 0)
    const cut = target.indexOf('?')
    this.path = (cut < 0 ? target : target.slice(0, cut)) || '/'
    this.#search = cut < 0 ? '' : target.slice(cut + 1)
    this.#authority = absolute?.[1]
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.#search)
    return this.#query
  }

  /** The path with its escapes resolved, as a file is called; as it was sent where they make no sense. */
  get decodedPath(): string {
    try {
      return decodeURIComponent(this.path)
    } catch {
      // a lone %, or bytes that are no UTF-8
      return this.path
    }
  }

  /** Host and port that the client has asked for: `example.org:8080`. Anybody can write there what he likes. */
  get host(): string | undefined {
    return this.#authority ?? this.headers.host
  }

  /** By name, decoded; parsed when they are asked for. */
  get cookies(): Cookies {
    this.#cookies ??= parseCookies(this.headers.cookie)
    return this.#cookies
  }

  /** The body as UTF-8 text. */
  text(): string {
    return this.body.toString('utf8')
  }

  /** The body as JSON. @throws RequestError 400 when it is none. */
  json(): unknown {
    try {
      return JSON.parse(this.text())
    } catch (error) {
      throw new RequestError(400, 'The body is no JSON', error)
    }
  }

  /** The fields of a form without files. @throws RequestError 415 when the body is of another type. */
  form(): URLSearchParams {
    const type = this.headers['content-type'] ?? ''
    if (/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type)) return new URLSearchParams(this.text())
    throw new RequestError(415, 'The body is no application/x-www-form-urlencoded')
  }

  /**
   * Fields and files of a form.
   * @throws RequestError 415 when the body is of another type, 413 at a limit, 400 when it is broken.
   */
  multipart(limits: MultipartLimits = {}): Promise<Multipart> {
    return parseMultipart(this.headers['content-type'] ?? '', this.body, limits)
  }

  /** The files alone. @throws as `multipart`. */
  async files(limits: MultipartLimits = {}): Promise<UploadedFile[]> {
    return (await this.multipart(limits)).files
  }
}

/** Reads a body. @returns null when it has more than `maxBytes`. */
export async function readBody(message: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const state = createParseState()
  // a stream that is left early would destroy its socket, and the refusal with it
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    if (waitingBytes(state) + (chunk as Buffer).length > maxBytes) return null
    // one by one they would take many times their length
    append(state, chunk as Buffer)
  }
  return waiting(state)
}
