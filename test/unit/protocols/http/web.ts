/** The server of an `http://` worker, watched as in its process, and raw clients of it. Closed behind the test. */
import { once } from 'node:events'
import type { Server, ServerOptions } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { onTestFinished, vi } from 'vitest'
import type { Owner } from '../../../../src/protocols/connection.ts'
import { Connections } from '../../../../src/protocols/connections.ts'
import type { Runnable, Subject } from '../../../../src/protocols/hooks.ts'
import { createWebServer } from '../../../../src/protocols/http/http.ts'
import { Traffic } from '../../../../src/protocols/traffic.ts'
import { LIMITS } from '../pair.ts'

const traffic = new Traffic()
traffic.watch()

export interface Web {
  server: Server
  /** What was written to the log. */
  log: () => string
  client: () => Client
}

export async function listening(hooks: Partial<Subject>, serverOptions: ServerOptions = {}): Promise<Web> {
  const said = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const connections = new Connections()
  const worker = { name: 'web', id: 0, generation: 1, isLeader: false, connections, broadcast: () => 0 }
  const subject = { ...worker, server: null, ...hooks } as unknown as Subject
  const owner: Owner = { protocol: 'http', worker, hooks: subject, limits: LIMITS, connections }
  const runnable = { subject, serverOptions, limits: LIMITS } as unknown as Runnable
  const server = createWebServer(runnable, 'http', owner) as Server
  subject.server = server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    said.mockRestore()
    server.closeAllConnections()
    server.close()
  })
  return {
    server,
    log: () => said.mock.calls.map((line) => String(line[0])).join('\n'),
    client: () => new Client((server.address() as AddressInfo).port),
  }
}

export class Client {
  readonly socket: Socket
  text = ''
  /** `end`, `close`, the code of an error. */
  readonly told: string[] = []

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    onTestFinished(() => void this.socket.destroy())
    this.socket.on('data', (chunk) => {
      this.text += String(chunk)
    })
    for (const event of ['end', 'close']) this.socket.on(event, () => void this.told.push(event))
    this.socket.on('error', (error: NodeJS.ErrnoException) => void this.told.push(error.code ?? 'error'))
  }

  /** Resolves when this has come, which may have been before. */
  async until(part: string): Promise<void> {
    while (!this.text.includes(part)) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  async closed(): Promise<void> {
    while (!this.told.includes('close')) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  get statuses(): string[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1] ?? '')
  }
}

/** A request without a body. */
export function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
}

/** Blocks this process. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
