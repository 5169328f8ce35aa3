/** Answers that hand on what `fetch` has got: what is said of the body holds for it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import zlib from 'node:zlib'
import { expect, it, onTestFinished } from 'vitest'
import { get, listening } from './web.ts'

/** `fetch` of an upstream that answers with these bytes. */
async function fetched(coding: string, bytes: Uint8Array): Promise<Response> {
  const upstream = createServer((_request, response) =>
    response.writeHead(200, { 'Content-Encoding': coding }).end(bytes),
  )
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  onTestFinished(() => void upstream.close())
  return fetch(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`, { headers: { Connection: 'close' } })
}

const TEXT = 'unpacked '.repeat(50)
const zstd = (zlib as { zstdCompressSync?: (text: string) => Uint8Array }).zstdCompressSync

it.each<[string, Uint8Array]>([
  ['gzip', zlib.gzipSync(TEXT)],
  ['GZip, br', zlib.brotliCompressSync(zlib.gzipSync(TEXT))],
  ['deflate', zlib.deflateSync(TEXT)],
  ['aes128gcm', Buffer.from('packed')],
  ['gzip, aes128gcm', zlib.gzipSync(TEXT)],
  ['zstd', zstd?.(TEXT) ?? Buffer.from('packed')],
])('a body of %s is said to be packed only where it is', async (coding, bytes) => {
  const web = await listening({
    onMessage: (async (connection: { send: (value: unknown) => void }) =>
      connection.send(await fetched(coding, bytes))) as never,
  })
  const client = web.client()
  client.socket.write(get('/', 'Connection: close\r\n'))
  await client.closed()
  const isUnpacked = client.text.includes(TEXT)
  const said = /content-encoding: (.*)\r\n/i.exec(client.text)?.[1] ?? null
  expect(said).toBe(isUnpacked ? null : coding)
})
