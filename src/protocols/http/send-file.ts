/**
 * Files as answers: type, length, one range (206, 416), `ETag`, `If-Modified-Since` (304) and the refusal of
 * paths that lead out. The package `@fastify/send` decides; it is loaded with the first file. Called by the
 * HTTP connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { basename, dirname, resolve } from 'node:path'
import type { SendResult } from '@fastify/send'
import { describeError } from '../../errors.ts'
import { discard, pump } from './pump.ts'

export interface FileOptions {
  /**
   * The directory that the path is below. What leads out of it is answered 403, what begins with a dot 404;
   * links in it are followed. Without it the path is taken as it is: never one that a client has written.
   */
  root?: string
  /** How long the client may take it from its cache without asking. Default 0 ms. */
  maxAgeMs?: number
  /** The file never changes while it has this name. Default false. */
  immutable?: boolean
  /** In place of what is sent by itself: `Content-Type`, `Content-Disposition`, `Cache-Control` … */
  headers?: Record<string, string>
}

const NO_FILE = new Error('no file')

/** Sends the file. An error is an answer, too: 404 for what is no file. @throws as `pump`. */
export async function pumpFile(response: ServerResponse, path: string, options: FileOptions): Promise<void> {
  const result = await find(response.req, path, options)
  if (response.destroyed) {
    if (result) discard(result.stream)
    return
  }
  if (result?.type === 'file') {
    response.statusCode = result.statusCode
    for (const [name, value] of Object.entries(result.headers)) response.setHeader(name, value)
    if (result.statusCode !== 304)
      for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value)
    await pump(response, result.statusCode === 304 ? null : result.stream)
    return
  }
  if (result) discard(result.stream)
  if (result?.type === 'error' && result.statusCode === 500)
    console.error(`shiftwork: cannot send ${path}: ${describeError(result.metadata.error).stack}`)
  const range = result?.headers['Content-Range']
  if (range !== undefined) response.setHeader('Content-Range', range)
  response.writeHead(result?.type === 'error' ? result.statusCode : 404, { 'Content-Length': 0 }).end()
}

/** @returns null for what is there and is no file: to open a pipe would wait for its writer. */
async function find(request: IncomingMessage, path: string, options: FileOptions): Promise<SendResult | null> {
  const { send } = await import('@fastify/send')
  const { root, maxAgeMs = 0, immutable = false } = options
  const whole = resolve(path)
  try {
    return await send(request, encodeURIComponent(root === undefined ? basename(whole) : path), {
      ...{ root: root ?? dirname(whole), dotfiles: root === undefined ? 'allow' : 'ignore' },
      ...{ index: false, maxAge: maxAgeMs, immutable },
      onFile: (_path, stat) => {
        if (!stat.isFile()) throw NO_FILE
      },
    })
  } catch (error) {
    if (error === NO_FILE) return null
    throw error
  }
}
