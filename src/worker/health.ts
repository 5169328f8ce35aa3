/**
 * Whether this worker can serve: its health check, a path of its own server or a function of the
 * user's, with all its tries. Proven before the worker is prepared, so that a reload is rejected by
 * it, and looked at again while it serves. It reports; whom to replace is the master's decision, and
 * so is the deadline of a start: a check that blocks can keep none.
 */
import { describeError, ShiftworkError } from '../errors.ts'
import { waitFor } from '../patience.ts'
import type { Runnable } from '../protocols/hooks.ts'
import { report } from '../protocols/report.ts'
import type { HealthCheck } from '../spec/spec.ts'
import { askOwnServer } from './probe.ts'

/** What was wrong, as it stands behind the name of the check: `answered 500`. */
interface Fault {
  text: string
  /** What its function threw. */
  cause?: unknown
}

export class Health {
  readonly #runnable: Runnable
  readonly #check: HealthCheck
  readonly #name: string
  readonly #abort = new AbortController()
  #timer: NodeJS.Timeout | null = null

  constructor(runnable: Runnable, check: HealthCheck) {
    this.#runnable = runnable
    this.#check = check
    this.#name = check.path === null ? 'health check' : `health check GET ${check.path}`
  }

  /** @throws ShiftworkError `ERR_WORKER_FAILED` when every try has failed. */
  async prove(): Promise<void> {
    const fault = await this.#examine((text) => this.#print(`${text}, it is tried again`))
    if (!fault || this.#isStopped) return
    throw new ShiftworkError('ERR_WORKER_FAILED', `${this.#name} ${fault.text}`, {
      hint: this.#check.path === null ? undefined : 'The worker asks its own server; 200 to 399 is healthy.',
      cause: fault.cause,
    })
  }

  /**
   * Looks again every `everyMs`, counted from the end of the look before.
   * @param onUnhealthy called each time when every try has failed: `GET /health answered 500, 3 times`.
   */
  watch(onUnhealthy: (detail: string) => void): void {
    const { everyMs, path } = this.#check
    if (everyMs === 0 || this.#isStopped) return
    let wasHealthy = true
    const look = async (): Promise<void> => {
      const fault = await this.#examine()
      if (this.#isStopped) return
      if (fault) onUnhealthy(path === null ? `its check ${fault.text}` : `GET ${path} ${fault.text}`)
      if (fault?.cause !== undefined && wasHealthy) this.#print(`threw: ${describeError(fault.cause).stack}`)
      wasHealthy = fault === null
      plan()
    }
    const plan = (): void => {
      this.#timer = setTimeout(() => void look(), everyMs).unref()
    }
    plan()
  }

  #print(text: string): void {
    report(this.#runnable.subject, `${this.#name} ${text}`)
  }

  /** Ends it for good, in the middle of a try too. */
  stop(): void {
    this.#abort.abort()
    if (this.#timer) clearTimeout(this.#timer)
  }

  get #isStopped(): boolean {
    return this.#abort.signal.aborted
  }

  /** @param onRetry called with each fault that is not the last. @returns the last fault; null: one try was good. */
  async #examine(onRetry?: (text: string) => void): Promise<Fault | null> {
    const tries = this.#check.retries + 1
    const texts = new Set<string>()
    for (let number = 1; ; number++) {
      const fault = await this.#try()
      if (!fault || this.#isStopped) return null
      texts.add(fault.text)
      if (number === tries) return { ...fault, text: fault.text + counted(tries, texts.size) }
      onRetry?.(fault.text)
      await sleep(this.#check.retryDelayMs)
      if (this.#isStopped) return null
    }
  }

  async #try(): Promise<Fault | null> {
    const { path, timeoutMs } = this.#check
    if (path === null) return this.#callFunction()
    const { server } = this.#runnable.subject
    if (!server) return { text: 'has no server to ask' }
    const text = await askOwnServer(server, { path, timeoutMs, signal: this.#abort.signal })
    return text === null ? null : { text }
  }

  async #callFunction(): Promise<Fault | null> {
    const { timeoutMs } = this.#check
    let endWait = (): void => undefined
    const late = new Promise<Fault>((resolve) => {
      endWait = waitFor(timeoutMs, () => resolve({ text: `did not answer within ${timeoutMs} ms` }))
    })
    try {
      return await Promise.race([late, callFunction(this.#runnable)])
    } catch (cause) {
      return { text: `threw: ${describeError(cause).message}`, cause }
    } finally {
      endWait()
    }
  }
}

async function callFunction({ healthFunction, subject }: Runnable): Promise<Fault | null> {
  return (await healthFunction?.(subject as never)) === false ? { text: 'returned false' } : null
}

function counted(tries: number, kinds: number): string {
  if (tries === 1) return ''
  return kinds === 1 ? `, ${tries} times` : `, the last of ${tries} tries`
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
