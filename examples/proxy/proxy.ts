/** One connection to the server behind for each client. An end of either is handed on, and so is a loss. */
import { type Connection, connect } from 'shiftwork'

export function proxyTo(address: `tcp://${string}`) {
  return async (client: Connection<string | Uint8Array>): Promise<void> => {
    const upstream = connect(address, { reconnect: false })
    // nothing is read from the client before this has settled; when it fails, the client is disconnected
    const server = await upstream.whenConnected()
    client.pipe(server).pipe(client)
  }
}
