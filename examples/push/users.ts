/** Who comes to the gateway, and whose client that is. Here anybody may say so; you look at a cookie or a token. */
import type { WebSocketConnection, WebSocketRequest } from 'shiftwork'
import type { Client, ClientRequest } from 'shiftwork/gateway'

/** In the gateway, before the handshake is answered: this code stays until the gateway is replaced. */
export function admit(_connection: WebSocketConnection, request: WebSocketRequest): boolean {
  return Boolean(request.query.get('uid'))
}

/** In a business worker, once it is connected. */
export async function welcome(client: Client, { url }: ClientRequest): Promise<void> {
  const uid = new URL(url, 'http://gateway').searchParams.get('uid') ?? ''
  await client.bindUid(uid)
  await client.send(`hello ${uid}`)
}
