/** A client of `text://`: the lines that came, waited for one by one, and how the connection ended. */
import { connect, type IpcNetConnectOpts, type Socket, type TcpNetConnectOpts } from 'node:net'

export class LineClient {
  readonly socket: Socket
  /** Every line that has come. */
  readonly lines: string[] = []
  /** The error that ended it, if one did. */
  error: NodeJS.ErrnoException | null = null
  isClosed = false
  #rest = ''
  readonly #watchers = new Set<() => void>()

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#rest += text
      // a long line comes in many pieces, each of which would be searched again and again
      if (!text.includes('\n')) return
      const parts = this.#rest.split('\n')
      this.#rest = parts.pop() ?? ''
      this.lines.push(...parts)
      this.#tell()
    })
    socket.on('error', (error) => {
      this.error = error
    })
    socket.on('close', () => {
      this.isClosed = true
      this.#tell()
    })
  }

  static open(target: TcpNetConnectOpts | IpcNetConnectOpts): Promise<LineClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(target)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new LineClient(socket))
      })
    })
  }

  #tell(): void {
    for (const watch of [...this.#watchers]) watch()
  }

  send(line: string): void {
    this.socket.write(`${line}\n`)
  }

  /** Waits for a line. @returns null when the connection closed before it came. */
  line(isMeant: (line: string) => boolean, timeoutMs = 60_000): Promise<string | null> {
    let seen = 0
    return this.#wait(timeoutMs, () => {
      // each once: they may be many, and long
      const found = this.lines.slice(seen).find(isMeant)
      seen = this.lines.length
      return found ?? (this.isClosed ? null : undefined)
    })
  }

  closed(timeoutMs = 60_000): Promise<true> {
    return this.#wait(timeoutMs, () => this.isClosed || undefined)
  }

  #wait<T>(timeoutMs: number, look: () => T | undefined): Promise<T> {
    // made here: so it says who waits
    const failure = new Error(`not in ${timeoutMs} ms`)
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = look()
        if (found === undefined) return
        clearTimeout(timer)
        this.#watchers.delete(check)
        resolve(found)
      }
      const timer = setTimeout(() => {
        this.#watchers.delete(check)
        failure.message += `; the last lines were ${JSON.stringify(this.lines.slice(-5))}`
        reject(failure)
      }, timeoutMs)
      this.#watchers.add(check)
      check()
    })
  }

  close(): void {
    this.socket.destroy()
  }
}
