/** What the kernel does for a connection on its own. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'

/** Its keepalive timer runs. Linux only. @param socket one of IPv4. */
export function isKeptAlive({ localPort, remotePort }: Pick<Socket, 'localPort' | 'remotePort'>): boolean {
  const portOf = (place = ''): number => Number.parseInt(place.split(':')[1] ?? '', 16)
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const row = rows.find(([, local, remote]) => portOf(local) === localPort && portOf(remote) === remotePort)
  return row?.[5]?.startsWith('02:') ?? false
}
