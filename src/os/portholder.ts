/** Who listens on a TCP port, for the sentence that says it is taken. Linux only, best effort, never throws. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTEN = '0A'

/** `node (pid 4711)`, or null when it cannot be found (another user's process, another platform). */
export function holderOfPort(port: number): string | null {
  if (process.platform !== 'linux') return null
  try {
    const inodes = new Set([...listeningInodes('/proc/net/tcp', port), ...listeningInodes('/proc/net/tcp6', port)])
    return inodes.size === 0 ? null : processWithSocket(inodes)
  } catch {
    // /proc hides other users' processes: the sentence is shorter then
    return null
  }
}

/** Fields of proc_net_tcp: local address is the second, state the fourth, inode the tenth. */
function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync(table, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(suffix) && fields[3] === LISTEN)
    .map((fields) => fields[9] ?? '')
}

function processWithSocket(inodes: ReadonlySet<string>): string | null {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    for (const link of descriptorsOf(pid)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1]
      if (inode !== undefined && inodes.has(inode))
        return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (pid ${pid})`
    }
  return null
}

function descriptorsOf(pid: string): string[] {
  const directory = `/proc/${pid}/fd`
  try {
    return readdirSync(directory).map((fd) => readlinkSync(`${directory}/${fd}`))
  } catch {
    // another user's process, or one that just went
    return []
  }
}
