/** The kernel's tables of connections: whether a port listens, now and all the time, and who holds what was accepted. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/** On any address of this machine. */
export function isListening(port: number): boolean {
  const entry = new RegExp(`: [0-9A-F]+:${hexOf(port)} \\S+ 0A `)
  return TABLES.some((table) => entry.test(listeningTable(table)))
}

/** A socket for datagrams on 127.0.0.1: bound, and connected to nobody (07, TCP_CLOSE). */
export function isBound(port: number): boolean {
  return new RegExp(`: 0100007F:${hexOf(port)} \\S+ 07 `).test(readFileSync('/proc/net/udp', 'latin1'))
}

function hexOf(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

/** Watches a port of 127.0.0.1: looks as often as the loop turns (or each `everyMs`), until it is told to end. */
export class Lookout {
  looks = 0
  /** What the test did when the port was not there. */
  readonly missed: string[] = []
  doing = 'nothing'
  #isOn = true
  readonly #isThere: () => boolean
  readonly #everyMs: number
  readonly #loop: Promise<void>

  constructor(port: number, { everyMs = 0, kind = 'tcp' as 'tcp' | 'udp' } = {}) {
    const entry = new RegExp(`: 0100007F:${hexOf(port)} \\S+ 0A `)
    this.#everyMs = everyMs
    this.#isThere = kind === 'udp' ? () => isBound(port) : () => entry.test(listeningTable('/proc/net/tcp'))
    this.#loop = this.#look()
  }

  get isListed(): boolean {
    return this.#isThere()
  }

  async #look(): Promise<void> {
    while (this.#isOn) {
      this.looks++
      if (!this.isListed) this.missed.push(this.doing)
      await new Promise((resolve) => (this.#everyMs > 0 ? setTimeout(resolve, this.#everyMs) : setImmediate(resolve)))
    }
  }

  async end(): Promise<void> {
    this.#isOn = false
    await this.#loop
  }
}

/** The kernel lists what listens first (tcp_ipv4.c), then thousands of connections: those are not read. */
function listeningTable(path: string): string {
  const fd = openSync(path, 'r')
  const chunk = Buffer.alloc(16 * 1024)
  let text = ''
  try {
    for (let bytes = -1; bytes !== 0 && !/ (?!0A)[0-9A-F]{2} [0-9A-F]{8}:/.test(text); ) {
      bytes = readSync(fd, chunk, 0, chunk.length, null)
      text += chunk.toString('latin1', 0, bytes)
    }
    return text
  } finally {
    closeSync(fd)
  }
}

/**
 * The connections to a port of 127.0.0.1 that these processes have accepted, by the client's port, and
 * which of them has each. They ought to stand still: a process that goes on accepts and closes meanwhile.
 */
export function heldBy(pids: readonly number[], port: number): Map<number, number> {
  const holders = new Map(pids.flatMap((pid) => socketsOf(pid).map((inode) => [inode, pid])))
  const held = new Map<number, number>()
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    // number, own end, other end, state, queues, timer, retransmits, uid, timeout, inode
    const [, own = '', other = '', , , , , , , inode = ''] = line.trim().split(/\s+/)
    const pid = holders.get(inode)
    if (pid !== undefined && own.endsWith(`:${hexOf(port)}`)) held.set(Number.parseInt(other.slice(9), 16), pid)
  }
  return held
}

/** Their inodes. */
function socketsOf(pid: number): string[] {
  const directory = `/proc/${pid}/fd`
  return readdirSync(directory).flatMap((name) => {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`${directory}/${name}`))?.[1]
    return inode === undefined ? [] : [inode]
  })
}
