/**
 * Forms with files (`multipart/form-data`, RFC 7578), out of a body that is in memory. The package
 * `@fastify/busboy` reads them; it is loaded with the first one. Called by `HttpRequest`.
 */
import type { Busboy as Parser } from '@fastify/busboy'
import { RequestError } from './request-error.ts'

/** More of it is answered 413. The whole body is bounded by `maxMessageBytes`. */
export interface MultipartLimits {
  /** Default 100. */
  maxFiles?: number
  /** Of each file. Default: as many as the body may have. */
  maxFileBytes?: number
  /** Default 1 000. */
  maxFields?: number
  /** Of each field. Default 1 MiB. */
  maxFieldBytes?: number
}

export interface UploadedFile {
  /** The name of the form's field. */
  readonly field: string
  /** What the client calls the file, without its directories; nothing to trust. */
  readonly name: string
  /** What the client says that it is: `image/png`. */
  readonly type: string
  readonly body: Buffer
}

export interface Multipart {
  readonly fields: URLSearchParams
  readonly files: UploadedFile[]
}

/** RFC 2046, 5.1.1: 1 to 70 characters. */
const BOUNDARY = /;\s*boundary=(?:"[^"]{1,70}"|[^\s;"]{1,70})\s*(?:;|$)/i
const MAX_PART_HEAD_BYTES = 16 * 1024
const MAX_PART_HEADERS = 50

/**
 * @param type the request's Content-Type.
 * @throws RequestError 415: it is no such form · 413: a limit · 400: a boundary, a name or an end is missing.
 */
export async function parseMultipart(type: string, body: Buffer, limits: MultipartLimits): Promise<Multipart> {
  if (!/^multipart\/form-data\s*(?:;|$)/i.test(type)) throw new RequestError(415, 'The body is no multipart/form-data')
  if (!BOUNDARY.test(type)) throw new RequestError(400, 'The form has no boundary')
  const { Busboy } = await import('@fastify/busboy')
  const { maxFiles = 100, maxFileBytes = Number.POSITIVE_INFINITY, maxFields = 1_000 } = limits
  const { maxFieldBytes = 1024 * 1024 } = limits
  const parser = new Busboy({
    headers: { 'content-type': type },
    limits: {
      ...{ files: maxFiles, fileSize: maxFileBytes, fields: maxFields, fieldSize: maxFieldBytes },
      // those without a name count, too
      ...{ parts: maxFiles + maxFields, headerPairs: MAX_PART_HEADERS, headerSize: MAX_PART_HEAD_BYTES },
    },
  })
  return collect(parser, body)
}

function collect(parser: InstanceType<typeof Parser>, body: Buffer): Promise<Multipart> {
  const form: Multipart = { fields: new URLSearchParams(), files: [] }
  return new Promise((resolve, reject) => {
    const refuse = (status: 400 | 413, message: string, cause?: unknown): void => {
      reject(new RequestError(status, message, cause))
      parser.destroy()
    }
    const fail = (error: unknown): void => refuse(400, 'The form is no multipart/form-data', error)
    parser.on('field', (name: string | undefined, value, _isNameCut, isCut) => {
      if (isCut) refuse(413, 'A field of the form is too long')
      else if (name === undefined) refuse(400, 'A field of the form has no name')
      else form.fields.append(name, value)
    })
    parser.on('file', (field: string | undefined, stream, name: string | undefined, _encoding, type) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('limit', () => refuse(413, 'A file of the form is too large'))
      // one that breaks off is told by the parser, too, but nobody else may hear of this one
      stream.on('error', fail)
      if (field === undefined) return refuse(400, 'A file of the form has no field')
      stream.on('end', () => form.files.push({ field, name: name ?? '', type, body: Buffer.concat(chunks) }))
    })
    parser.on('filesLimit', () => refuse(413, 'The form has too many files'))
    parser.on('fieldsLimit', () => refuse(413, 'The form has too many fields'))
    parser.on('partsLimit', () => refuse(413, 'The form has too many parts'))
    parser.on('error', fail)
    parser.on('finish', () => resolve(form))
    parser.end(body)
  })
}
