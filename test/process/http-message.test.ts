/** `onMessage` over HTTP: what a handler can ask of a request, in which order requests are handled, what `send` says. */
import { expect, it } from 'vitest'
import { type Answer, Client, get } from '../helpers/client.ts'
import { HELD } from '../helpers/held.ts'
import { startWeb } from '../helpers/web.ts'

// ---- cookies and forms ---------------------------------------------------------------------------------------------

const READS = `
const reads = {
  '/cookies': (request) => ({ ...request.cookies }),
  '/form': (request) => [...request.form()],
  '/json': (request) => request.json(),
  '/files': async (request) => {
    const limits = JSON.parse(request.query.get('limits') ?? '{}')
    const { fields, files } = await request.multipart(limits)
    return { fields: [...fields], files: files.map(({ body, ...rest }) => ({ ...rest, body: body.toString('latin1') })) }
  },
  '/names': async (request) => (await request.files()).map(({ name }) => name),
}
worker.onError = (connection, error) => console.log('hook error', error.code, error.status, error.message)
worker.onMessage = async (connection, request) => {
  if (request.path === '/set') {
    const response = new Response('set')
    setCookie(response, { name: 'id', value: 'a; b=ü', httpOnly: true, path: '/', maxAge: 60, sameSite: 'lax' })
    setCookie(response, { name: 'second', value: '' })
    return connection.send(response)
  }
  connection.send(await reads[request.path](request))
}
`

it('U5 cookies are read by name and decoded, the first of each; setCookie writes any value', async () => {
  const { target } = await startWeb(READS)
  const client = await Client.open(target)
  const ask = async (cookie: string): Promise<unknown> =>
    JSON.parse((await client.request({ path: '/cookies', headers: { Cookie: cookie } })).body)
  expect(await ask('a=1; b=gr%C3%BCezi; c="q"; a=2; d=%E0%A4%A; e=x=y')).toEqual({
    ...{ a: '1', b: 'grüezi', d: '%E0%A4%A', e: 'x=y' },
    c: expect.stringMatching(/^"?q"?$/),
  })
  expect(await ask('__proto__=1; constructor=2')).toEqual(JSON.parse('{"__proto__":"1","constructor":"2"}'))
  expect(JSON.parse((await client.request({ path: '/cookies' })).body)).toEqual({})
  client.close()

  const web = await fetch(`http://127.0.0.1:${target.port}/set`)
  expect(web.headers.getSetCookie()).toEqual([
    'id=a%3B%20b%3D%C3%BC; Max-Age=60; Path=/; HttpOnly; SameSite=Lax',
    'second=',
  ])
})

it('U5 a form is read as URLSearchParams; one of another type is answered 415', async () => {
  const { running, target } = await startWeb(READS)
  const post = (type: string, body: string): Promise<Answer> =>
    get(target, '/form', { method: 'POST', headers: { 'Content-Type': type }, body })
  const form = 'application/x-www-form-urlencoded'
  expect(JSON.parse((await post(form, 'a=1&b=gr%C3%BCezi+du&a=2&c')).body)).toEqual([
    ...[['a', '1'] as const, ['b', 'grüezi du'] as const, ['a', '2'] as const, ['c', ''] as const],
  ])
  expect((await post(`${form.toUpperCase()}; charset=utf-8`, 'a=1')).body).toBe('[["a","1"]]')
  for (const type of ['application/json', 'multipart/form-data', `${form}x`, 'x']) {
    const answer = await post(type, 'a=1')
    expect([type, answer.status, answer.body]).toEqual([type, 415, ''])
  }
  await running.line(/^hook error ERR_BAD_REQUEST 415 The body is no application/m)
  expect(running.stderr).toBe('')
})

// ---- files ---------------------------------------------------------------------------------------------------------

interface Part {
  field?: string
  file?: string
  type?: string
  body: string
}

const BOUNDARY = '----boundary7'

function partOf({ field, file, type, body }: Part): string {
  const name = field === undefined ? '' : `; name="${field}"`
  const filename = file === undefined ? '' : `; filename="${file}"`
  const head = `Content-Disposition: form-data${name}${filename}\r\n${type ? `Content-Type: ${type}\r\n` : ''}`
  return `--${BOUNDARY}\r\n${head}\r\n${body}\r\n`
}

/** Text in it is written as UTF-8, except for what is in latin1 on purpose: bodies of files. */
function multipart(parts: readonly Part[]): Buffer {
  return Buffer.from(`${parts.map(partOf).join('')}--${BOUNDARY}--\r\n`, 'latin1')
}

const BINARY = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
  .join('')
  .repeat(300)
const THREE: Part[] = [
  { field: 'title', body: 'three files' },
  { field: 'photo', file: 'a.png', type: 'image/png', body: BINARY },
  { field: 'photo', file: '../../etc/passwd', type: 'text/plain', body: `\r\n--${BOUNDARY.slice(1)}\r\n--\r\n` },
  { field: 'empty', file: 'none.txt', type: 'text/plain', body: '' },
  { field: 'title', body: 'again' },
]

async function startFiles(options: Record<string, unknown> = {}) {
  const { project, running, target } = await startWeb(READS, { options })
  const post = (body: Buffer, { limits = {}, type = `multipart/form-data; boundary=${BOUNDARY}` } = {}) =>
    get(target, `/files?limits=${encodeURIComponent(JSON.stringify(limits))}`, {
      ...{ method: 'POST', headers: { 'Content-Type': type }, body },
    })
  return { project, running, target, post }
}

it('U5 multipart: fields and three files, byte by byte as they were sent, names without directories', async () => {
  const { target, post } = await startFiles()
  expect(JSON.parse((await post(multipart(THREE))).body)).toEqual({
    fields: [
      ['title', 'three files'],
      ['title', 'again'],
    ],
    files: [
      { field: 'photo', name: 'a.png', type: 'image/png', body: BINARY },
      { field: 'photo', name: 'passwd', type: 'text/plain', body: `\r\n--${BOUNDARY.slice(1)}\r\n--\r\n` },
      { field: 'empty', name: 'none.txt', type: 'text/plain', body: '' },
    ],
  })

  // what a browser sends is written by somebody else
  const form = new FormData()
  form.append('text', 'grüezi')
  form.append('file', new File(['a'.repeat(100_000)], 'grüezi.txt', { type: 'text/plain' }))
  const web = await fetch(`http://127.0.0.1:${target.port}/files`, { method: 'POST', body: form })
  expect(await web.json()).toEqual({
    fields: [['text', 'grüezi']],
    files: [{ field: 'file', name: 'grüezi.txt', type: 'text/plain', body: 'a'.repeat(100_000) }],
  })
  const names = await fetch(`http://127.0.0.1:${target.port}/names`, { method: 'POST', body: form })
  expect(await names.json()).toEqual(['grüezi.txt'])
})

it('U5 multipart: over a limit is 413, at it is fine, and nothing of it is an error of the worker', async () => {
  const { project, running, post } = await startFiles({ maxMessageBytes: 200_000 })
  const before = await project.pids()
  const files = { maxFiles: 3, maxFileBytes: BINARY.length, maxFields: 2, maxFieldBytes: 11 }
  expect((await post(multipart(THREE), { limits: files })).status).toBe(200)
  for (const [name, limit] of Object.entries(files)) {
    const answer = await post(multipart(THREE), { limits: { ...files, [name]: limit - 1 } })
    expect([name, answer.status]).toEqual([name, 413])
  }
  const many = Array.from({ length: 1_001 }, (_, index) => ({ field: `f${index}`, body: '' }))
  expect((await post(multipart(many.slice(1)))).status).toBe(200)
  expect((await post(multipart(many))).status).toBe(413)
  expect((await post(multipart([{ field: 'big', file: 'big', body: 'x'.repeat(200_000) }]))).status).toBe(413)
  expect(running.stderr).toBe('')
  expect(await project.pids()).toEqual(before)
})

it('U5 multipart: what is broken is answered 400, and nothing of it is an error of the worker', async () => {
  const { project, running, post } = await startFiles()
  const before = await project.pids()
  const whole = multipart(THREE)
  const type = 'multipart/form-data'
  for (const [what, body, how] of [
    ['another boundary', whole, { type: `${type}; boundary=other` }],
    ['no boundary', whole, { type }],
    ['an empty boundary', whole, { type: `${type}; boundary=` }],
    ['a boundary of 10 000 letters', whole, { type: `${type}; boundary=${'a'.repeat(10_000)}` }],
    ['nothing at all', Buffer.alloc(0), {}],
    ['noise', Buffer.from('noise'.repeat(1_000)), {}],
    ['fields without names', multipart(Array.from({ length: 1_200 }, () => ({ body: '' }))), {}],
    ['a file without a field', multipart([{ file: 'a', body: 'x' }]), {}],
    ...[40, 100, 400, 60_000, whole.length - 30, whole.length - 5].map(
      (bytes) => [`cut after ${bytes} bytes`, whole.subarray(0, bytes), {}] as const,
    ),
  ] as const) {
    const answer = await post(body, how)
    expect([what, answer.status]).toEqual([what, 400])
  }
  expect((await post(whole, { type: 'text/plain' })).status).toBe(415)
  expect((await post(whole)).status).toBe(200)
  expect(running.stderr).toBe('')
  expect(await project.pids()).toEqual(before)
})

// ---- order ---------------------------------------------------------------------------------------------------------

it('A13 pipelined requests are handled one at a time and in order, whatever they are answered with', async () => {
  const { target } = await startWeb(
    `
import { createReadStream } from 'node:fs'
let running = 0
worker.onMessage = async (connection, request) => {
  if (++running > 1) throw new Error('two at a time')
  const kind = request.path.slice(1, 2)
  if (kind === 'a') await new Promise((resolve) => setTimeout(resolve, 10))
  if (kind === 'f') await connection.sendFile('file.txt', { root: '.' })
  else if (kind === 's') connection.send(createReadStream('file.txt'))
  else if (kind === 'r') connection.send(new Response(request.path))
  else if (kind === 'l') setTimeout(() => connection.send(request.path), 10)
  else connection.send(request.path)
  // the answer is out, the handler is not done
  if (kind !== 'l') await new Promise((resolve) => setTimeout(resolve, 5))
  running--
}`,
    { files: { 'file.txt': 'the file' } },
  )
  const client = await Client.open(target)
  const paths = Array.from({ length: 120 }, (_, index) => `/${'afsrlx'[(index * 7) % 6] ?? ''}${index}`)
  client.pipeline(paths.map((path) => ({ path })))
  const bodies: string[] = []
  for (const _path of paths) bodies.push((await client.answer()).body)
  expect(bodies).toEqual(paths.map((path) => (/^\/[fs]/.test(path) ? 'the file' : path)))
  // and one after another
  for (const path of ['/a', '/x', '/l', '/x']) expect((await client.request({ path })).body).toBe(path)
  client.close()
})

it('U5 onConnect is awaited before the first message, and each connection has hooks of its own', async () => {
  const { target } = await startWeb(`
worker.onConnect = async (connection) => {
  connection.context.state = connection.state
  await new Promise((resolve) => setTimeout(resolve, 50))
  connection.context.isReady = true
  connection.onMessage = (own, request) => own.send({ own: true, ...own.context, now: own.state, isAtRest: own.isAtRest })
}
worker.onMessage = (connection) => connection.send('the worker’s own')
`)
  expect(JSON.parse((await get(target)).body)).toEqual({
    ...{ own: true, state: 'opening', isReady: true, now: 'open', isAtRest: false },
  })
})

it('U5 a connection that is paused handles nothing until it is resumed', async () => {
  const { running, target } = await startWeb(`
worker.onMessage = (connection, request) => {
  if (request.path === '/pause') {
    connection.pause()
    console.log('hook paused')
    setTimeout(() => { console.log('hook resume'); connection.resume() }, 100)
  } else console.log('hook', request.path)
  connection.send(request.path)
}`)
  const client = await Client.open(target)
  client.pipeline([{ path: '/pause' }, { path: '/then' }])
  expect((await client.answer()).body).toBe('/pause')
  expect((await client.answer()).body).toBe('/then')
  expect((await client.request({ path: '/later' })).body).toBe('/later')
  await running.line(/^hook \/later$/m)
  expect(running.stdout.match(/^hook .*$/gm)).toEqual(['hook paused', 'hook resume', 'hook /then', 'hook /later'])
  client.close()
})

// ---- what send says ------------------------------------------------------------------------------------------------

it('U5 send: true when the kernel has it, null when it waits, false with a reason when nobody is to be answered', async () => {
  const { running, target } = await startWeb(`
worker.onError = (connection, error) => console.log('hook error', error.code)
worker.onBufferFull = () => console.log('hook full')
worker.onMessage = (connection, request) => {
  const say = (...all) => console.log('hook', request.path, ...all)
  if (request.path === '/small') say(connection.send('x'), connection.send('again'), connection.bufferedBytes)
  if (request.path === '/large') say(connection.send('x'.repeat(30_000_000)), connection.bufferedBytes > 1_000_000)
  if (request.path === '/stream') say(connection.send(new Response('x')), connection.send('again'))
  if (request.path === '/left') {
    connection.onClose = () => say(connection.send('x'), connection.state)
    console.log('hook waits')
  }
}`)
  const client = await Client.open(target)
  expect((await client.request({ path: '/small' })).body).toBe('x')
  expect((await client.request({ path: '/stream' })).body).toBe('x')
  expect((await client.request({ path: '/large' })).body.length).toBe(30_000_000)
  client.send({ path: '/left' })
  await running.line(/^hook waits$/m)
  client.close()
  await running.line(/^hook \/left/m)
  expect(running.stdout.match(/^hook .*$/gm)).toEqual([
    ...['hook error ERR_ANSWERED', 'hook /small true false 0', 'hook error ERR_ANSWERED', 'hook /stream null false'],
    // an answer is never dropped because it is long, so nothing is said to be full
    ...['hook /large null true', 'hook waits', 'hook error ERR_CONNECTION_CLOSED', 'hook /left false closed'],
  ])
})

it('U5 close: the last answer says so and is whole; what stands behind it is not handled', async () => {
  const { running, target } = await startWeb(`
worker.onMessage = (connection, request) => {
  console.log('hook', request.path)
  if (request.path === '/stream') {
    connection.send(new Response(new ReadableStream({
      async start(controller) {
        for (let part = 0; part < 5; part++) {
          controller.enqueue(Buffer.from('part '))
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        controller.close()
      },
    })))
    return connection.close()
  }
  if (request.path === '/nothing') return connection.close()
  connection.close({ path: request.path })
}`)
  const ask = async (path: string): Promise<string[]> => {
    const client = await Client.open(target)
    client.pipeline([{ path }, { path: '/behind' }])
    const answers: string[] = []
    const answer = client.answer().then(({ body }) => answers.push(body))
    await answer.catch((error: unknown) => answers.push(String(error)))
    await expect(client.answer()).rejects.toMatchObject({ outcome: 'closed' })
    client.close()
    return answers
  }
  expect(await ask('/value')).toEqual(['{"path":"/value"}'])
  expect(await ask('/stream')).toEqual(['part '.repeat(5)])
  expect(await ask('/nothing')).toEqual([expect.stringContaining('closed: 0 bytes')])
  await running.line(/^hook \/nothing$/m)
  expect(running.stdout.match(/^hook .*$/gm)).toEqual(['hook /value', 'hook /stream', 'hook /nothing'])
})

const HOLDS = {
  message: `
worker.onMessage = async (connection, request) => {
  await reply(request.path, (text) => connection.send(text))
}`,
  request: `
worker.onRequest = (request, response) => { void reply(request.url, (text) => response.end(text)) }`,
} as const

it.each(['message', 'request'] as const)(
  'C10 %s: requests without end behind one that is held are not read without end',
  async (style) => {
    const { running, target } = await startWeb(`${HELD}
let handled = 0
let release = null
const reply = async (path, send) => {
  if (path === '/held') {
    console.log('hook held')
    await new Promise((resolve) => { release = resolve })
  }
  if (path === '/release') release()
  if (path === '/held-bytes') return send(String(heldBytes()))
  if (path === '/x') handled++
  send(path === '/count' ? String(handled) : path)
}
${HOLDS[style]}`)
    const ask = async (path: string): Promise<number> => Number((await get(target, path)).body)
    const before = await ask('/held-bytes')
    const client = await Client.open(target)
    client.send({ path: '/held' })
    await running.line(/^hook held$/m)
    const batch = Array.from({ length: 10_000 }, () => ({ path: '/x' }))
    for (let round = 0; round < 100; round++) client.pipeline(batch)
    // until it takes no more: what is left has not moved for a hundred round trips
    let left = -1
    while (left !== client.socket.writableLength) {
      left = client.socket.writableLength
      for (let round = 0; round < 100; round++) await ask('/count')
    }
    expect(left).toBeGreaterThan(10_000_000)
    expect((await ask('/held-bytes')) - before).toBeLessThan(20_000_000)
    // and it goes on where it has stopped
    await get(target, '/release')
    expect((await client.answer()).body).toBe('/held')
    for (let round = 0; round < 200; round++) expect((await client.answer()).body).toBe('/x')
    client.close()
  },
)
