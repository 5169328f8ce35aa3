/** Business code: loaded in each new worker, so a reload brings its changes. */
import type { Connection } from 'shiftwork'

/** One datagram has come: what is sent on its connection goes back to its sender, as one datagram. */
export function echo(connection: Connection<string | Uint8Array>, data: Buffer): void {
  connection.send(`hello from ${process.pid}: ${data}`)
}
