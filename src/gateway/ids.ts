/** Ids of clients: the name of their gateway, which says where they are, and what nobody can guess. */
import { randomBytes } from 'node:crypto'

/** Not a character of base64url, of which the parts are made. */
const SEPARATOR = '.'
const GATEWAY_BYTES = 9
const CLIENT_BYTES = 15
const GATEWAY_ID = /^[\w-]{12}$/

/** Never used again: a gateway that is started anew has another name, and its clients have other ids. */
export function createGatewayId(): string {
  return randomBytes(GATEWAY_BYTES).toString('base64url')
}

export function createClientId(gateway: string): string {
  return gateway + SEPARATOR + randomBytes(CLIENT_BYTES).toString('base64url')
}

/** Whether a gateway could have this name. */
export function isGatewayId(name: string): boolean {
  return GATEWAY_ID.test(name)
}

/** Of what is no id of a client: the name of no gateway. */
export function gatewayOf(clientId: string): string {
  const cut = clientId.indexOf(SEPARATOR)
  return cut < 0 ? '' : clientId.slice(0, cut)
}
