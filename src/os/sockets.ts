/**
 * The kernel's tables of sockets (proc_net(5), `/proc/net/unix` in unix(7)) and who holds which: what
 * listens at an address, and what a process has open. Linux only, nothing is found elsewhere; the
 * sockets of other users' processes are in the tables, but not whose they are. Never throws.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { allPids } from './processes.ts'

export interface SocketRow {
  kind: 'tcp' | 'udp' | 'unix'
  /** As `/proc/PID/fd` names it; `0` is nobody's: not accepted yet, or closed and not gone yet. */
  inode: string
  /** Of UDP: it is not connected to anybody, a server as well as many a client. */
  isListening: boolean
  /** `127.0.0.1:8080`, `[::1]:8080`, or the path that a unix socket was bound to; empty for one without a name. */
  address: string
  /** Null on a unix socket. */
  port: number | null
  /** Of whoever made it; null where the table does not say it. */
  uid: number | null
}

/** Every socket of this machine, or of this container. */
export function socketRows(): SocketRow[] {
  const tables = (kind: 'tcp' | 'udp'): SocketRow[] =>
    [`/proc/net/${kind}`, `/proc/net/${kind}6`].flatMap((path) => parseInternet(kind, readTable(path)))
  return [...tables('tcp'), ...tables('udp'), ...parseUnix(readTable('/proc/net/unix'))]
}

function readTable(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // not Linux, or a kernel without IPv6
    return ''
  }
}

/** `TCP_LISTEN`, and `TCP_CLOSE`: what UDP is in until it is connected (proc_net(5)). */
const LISTENS = { tcp: '0A', udp: '07' } as const

/** Fields: local address is the second, state the fourth, uid the eighth, inode the tenth. */
export function parseInternet(kind: 'tcp' | 'udp', table: string): SocketRow[] {
  return linesOf(table).flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const [host = '', port = ''] = (fields[1] ?? '').split(':')
    const inode = fields[9]
    if (inode === undefined || !/^([0-9A-F]{8}|[0-9A-F]{32})$/.test(host)) return []
    const number = Number.parseInt(port, 16)
    const isListening = fields[3] === LISTENS[kind]
    return [{ kind, inode, isListening, address: `${hostText(host)}:${number}`, port: number, uid: Number(fields[7]) }]
  })
}

/** Words of 32 bits, each in the order of the machine: little-endian wherever Node.js runs but for s390x. */
function hostText(hex: string): string {
  const words = hex.match(/.{8}/g) ?? []
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).reverse())
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.')
  const groups = (bytes.join('').match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname
}

/** `__SO_ACCEPTCON` of the kernel: it listens. */
const UNIX_ACCEPTS = 0x10000

/** Fields: flags are the fourth, inode the seventh, the path is the rest and may hold blanks. */
export function parseUnix(table: string): SocketRow[] {
  return linesOf(table).flatMap((line) => {
    const match = /^\S+: \S+ \S+ ([0-9A-F]{8}) \S+ \S+ +(\d+)(?: (.*))?$/.exec(line)
    if (!match) return []
    const [, flags = '', inode = '', address = ''] = match
    const isListening = (Number.parseInt(flags, 16) & UNIX_ACCEPTS) !== 0
    return [{ kind: 'unix', inode, isListening, address, port: null, uid: null }]
  })
}

/** `SS_UNCONNECTED` of the kernel: what was accepted on a socket has its name, too, and is connected. */
const UNIX_UNCONNECTED = '01'

/** Whether a unix socket has this name, listened to or not. One that was bound by a shorter way to it is not found. */
export function isBound(path: string): boolean {
  return isBoundIn(readTable('/proc/net/unix'), path)
}

export function isBoundIn(table: string, path: string): boolean {
  return linesOf(table).some((line) => {
    const match = /^\S+: \S+ \S+ \S+ \S+ ([0-9A-F]+) +\d+ (.*)$/.exec(line)
    return match?.[1] === UNIX_UNCONNECTED && match[2] === path
  })
}

/** The first line is the head. */
function linesOf(table: string): string[] {
  return table.split('\n').slice(1)
}

/** The inodes of the sockets that a process holds; null when one may not look. */
export function socketsOf(pid: number): Set<string> | null {
  const directory = `/proc/${pid}/fd`
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    // another user's process, or one that just went
    return null
  }
  const inodes = names.map((name) => /^socket:\[(\d+)\]$/.exec(linkOf(`${directory}/${name}`))?.[1])
  return new Set(inodes.filter((inode) => inode !== undefined))
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // closed meanwhile
    return ''
  }
}

/** The processes that hold one of these sockets, as far as one may look, in the order of their pids. */
export function pidsWith(inodes: ReadonlySet<string>): number[] {
  return allPids().filter((pid) => [...(socketsOf(pid) ?? [])].some((inode) => inodes.has(inode)))
}
