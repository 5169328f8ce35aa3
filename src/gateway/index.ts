/** The public names of `shiftwork/gateway`: gateways that hold the clients, business workers that reload. */
export type { Client, ClientHooks, EventInfo } from './business/client.ts'
export { BusinessWorker, type BusinessWorkerOptions } from './business-worker.ts'
export { Gateway, type GatewayOptions } from './gateway.ts'
export { GatewayClient, type GatewayClientOptions } from './gateway-client.ts'
export type { DeliveryMode, LinkOptions, QueueOptions } from './options.ts'
export type { Commands, SendOptions } from './peer/commands.ts'
export type {
  ClientInfo,
  ClientRequest,
  CloseOptions,
  Data,
  Deliveries,
  Delivery,
  Missing,
  Page,
  PageOptions,
  Session,
  Where,
} from './types.ts'
