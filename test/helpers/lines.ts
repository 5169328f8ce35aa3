/** A client of `text://`: the lines that came, waited for one by one, and how the connection ended. */
import { connect, type IpcNetConnectOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { Signal } from './signal.ts'

export class LineClient {
  readonly socket: Socket
  /** Every line that has come. */
  readonly lines: string[] = []
  /** The error that ended it, if one did. */
  error: NodeJS.ErrnoException | null = null
  isClosed = false
  #rest = ''
  readonly #news = new Signal()

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#rest += text
      // a long line comes in many pieces, each of which would be searched again and again
      if (!text.includes('\n')) return
      const parts = this.#rest.split('\n')
      this.#rest = parts.pop() ?? ''
      this.lines.push(...parts)
      this.#news.tell()
    })
    socket.on('error', (error) => {
      this.error = error
    })
    socket.on('close', () => {
      this.isClosed = true
      this.#news.tell()
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

  send(line: string): void {
    this.socket.write(`${line}\n`)
  }

  /** Waits for a line. @returns null when the connection closed before it came. */
  line(isMeant: (line: string) => boolean, timeoutMs = 60_000): Promise<string | null> {
    let seen = 0
    return this.#wait('a line', timeoutMs, () => {
      // each once: they may be many, and long
      const found = this.lines.slice(seen).find(isMeant)
      seen = this.lines.length
      return found ?? (this.isClosed ? null : undefined)
    })
  }

  closed(timeoutMs = 60_000): Promise<true> {
    return this.#wait('its end', timeoutMs, () => this.isClosed || undefined)
  }

  #wait<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
    const instead = (): string => `the last lines were ${JSON.stringify(this.lines.slice(-5))}`
    return this.#news.wait(look, { what, instead, timeoutMs })
  }

  close(): void {
    this.socket.destroy()
  }
}
