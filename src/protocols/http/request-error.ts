/** What is wrong with a request, as its handler finds out when it reads it: the client's fault, not the handler's. */
import { ShiftworkError } from '../../errors.ts'

/** Thrown by the methods of `HttpRequest`. A handler that lets it through has answered with `status`. */
export class RequestError extends ShiftworkError {
  /** 400: it makes no sense · 413: there is too much of it · 415: it is of another type. */
  readonly status: 400 | 413 | 415

  constructor(status: 400 | 413 | 415, message: string, cause?: unknown) {
    super('ERR_BAD_REQUEST', message, { cause })
    this.status = status
  }
}
