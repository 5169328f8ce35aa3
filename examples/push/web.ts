/** Business code: POST /push?uid=… tells a user what the body says; everything else is a page that listens. */
import type { HttpConnection, HttpRequest } from 'shiftwork'
import { type Deliveries, GatewayClient } from 'shiftwork/gateway'
import { page } from './page.ts'

/** One for the process: it finds the gateways of this fleet, and keeps a link to each. */
const gateways = new GatewayClient({ deadlineMs: 2_000 })

export async function answer(connection: HttpConnection, request: HttpRequest): Promise<unknown> {
  const uid = request.query.get('uid') ?? ''
  if (request.path !== '/push') return connection.send(html(page()))
  if (request.method !== 'POST') return say(connection, 405, { error: 'POST it' })
  if (uid === '') return say(connection, 400, { error: 'say whom: /push?uid=…' })
  try {
    const deliveries = await gateways.sendToUid(uid, request.text())
    const result = resultOf(deliveries)
    return say(connection, STATUS[result], { uid, result, ...deliveries })
  } catch (error) {
    return say(connection, 503, { uid, error: (error as Error).message })
  }
}

const STATUS = { sent: 200, buffered: 202, unknown: 503, full: 503, 'nobody online': 404 } as const

/** The best that has become of it. sent: the kernel has it; that a person has seen it only the page could say. */
function resultOf({ sent, buffered, full, missing }: Deliveries): keyof typeof STATUS {
  if (sent > 0) return 'sent'
  if (buffered > 0) return 'buffered'
  // a gateway that has not answered may have sent it
  if (missing.length > 0) return 'unknown'
  return full > 0 ? 'full' : 'nobody online'
}

function say(connection: HttpConnection, status: number, answer: object): unknown {
  return connection.send(Response.json(answer, { status }))
}

function html(text: string): Response {
  return new Response(text, { headers: { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' } })
}
