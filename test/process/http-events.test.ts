/** Server-sent events: how they are written, when a stream ends, and what a reader sees of reloads. */
import { expect, it, onTestFinished } from 'vitest'
import { Client } from '../helpers/client.ts'
import { EventReader } from '../helpers/events.ts'
import { Project } from '../helpers/project.ts'
import { startWeb } from '../helpers/web.ts'

function reader(options: ConstructorParameters<typeof EventReader>[0]): EventReader {
  const made = new EventReader(options)
  onTestFinished(() => made.close())
  return made
}

it('U5 events are written as a browser reads them: lines, names, ids, JSON, comments in a silence', async () => {
  const setUp = `
worker.onMessage = (connection, request) => {
  const events = connection.events({ heartbeatMs: 20, retryMs: 1_234 })
  const said = [events.send('text'), events.send({ id: 7, event: 'named', data: 'three\\r\\nlines\\n' })]
  events.send({ id: 'eight', data: { a: [1, 'ü'] } })
  events.send({ data: 0 })
  events.send({ data: null })
  for (const wrong of [{ id: 'a\\nb' }, { event: 'a\\rb' }, { id: 'a\\0b' }])
    try { events.send(wrong) } catch (error) { said.push(error.name) }
  console.log('hook', JSON.stringify([events.lastEventId, events.isOpen, events.signal.aborted, connection.state, ...said]))
}`
  // a reader has nothing to say, and is not idle for that
  const { running, target } = await startWeb(setUp, { options: { idleTimeoutMs: 30 } })
  const events = reader({ ...target, retryMs: null })
  await events.until('a heartbeat', ({ comments }) => comments.length >= 10)
  expect(events.ends).toEqual([])
  expect(events.events).toEqual([
    { id: '', event: 'message', data: 'text' },
    { id: '7', event: 'named', data: 'three\nlines\n' },
    { id: 'eight', event: 'message', data: '{"a":[1,"ü"]}' },
    { id: 'eight', event: 'message', data: '0' },
    { id: 'eight', event: 'message', data: 'null' },
  ])
  expect(events.headers[0]).toMatchObject({
    ...{ 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'close' },
  })
  await running.line(/^hook (.*)$/m)
  expect(running.stdout).toContain('hook ["",true,false,"open",true,true,"TypeError","TypeError","TypeError"]')
})

it('U5 a stream that is closed ends as a whole, and its reader comes back with what it has seen last', async () => {
  const { running, target } = await startWeb(`
worker.onMessage = (connection) => {
  const events = connection.events()
  const id = Number(events.lastEventId || 0) + 1
  events.send({ id, data: 'event ' + id })
  events.signal.addEventListener('abort', () => console.log('hook over', id, events.send('late'), events.isOpen))
  events.close()
  console.log('hook closed', id, events.send('too late'), events.isOpen, connection.state)
}`)
  const events = reader(target)
  await events.until('five', (it) => it.events.length >= 5)
  events.close()
  expect(events.events.slice(0, 5).map(({ data }) => data)).toEqual([1, 2, 3, 4, 5].map((id) => `event ${id}`))
  expect(events.ends.slice(0, 4)).toEqual(['whole', 'whole', 'whole', 'whole'])
  await running.line(/^hook over 4/m)
  expect(running.stdout).toMatch(/^hook closed 1 false false closing$/m)
  expect(running.stdout).toMatch(/^hook over 1 false false$/m)
})

it('U5 a reader that goes away ends its stream: its signal is aborted, onClose is called, nothing is an error', async () => {
  const { running, target } = await startWeb(`
worker.onError = (connection, error) => console.log('hook error', error.code)
worker.onClose = (connection) => console.log('hook close', connection.state)
worker.onMessage = (connection) => {
  const events = connection.events({ heartbeatMs: 0 })
  events.signal.addEventListener('abort', () => console.log('hook over', events.send('late')))
  events.send('first')
}`)
  const events = reader({ ...target, retryMs: null })
  await events.until('one', (it) => it.events.length === 1)
  events.close()
  await running.line(/^hook over false$/m)
  await running.line(/^hook close closed$/m)
  expect(running.stdout).not.toContain('hook error')
  expect(running.stderr).toBe('')
})

it('U5 HEAD has the head of a stream and no stream; what is pipelined behind a stream is not handled', async () => {
  const { running, target } = await startWeb(`
worker.onMessage = (connection, request) => {
  console.log('hook', request.method, request.path)
  const events = connection.events()
  console.log('hook open', events.isOpen, events.signal.aborted)
  events.send('one')
  setTimeout(() => events.close(), 20)
}`)
  const asked = await Client.open(target)
  const answer = await asked.request({ method: 'HEAD', path: '/head' })
  expect([answer.status, answer.body, answer.headers.get('content-type')]).toEqual([200, '', 'text/event-stream'])
  await expect(asked.answer()).rejects.toMatchObject({ outcome: 'closed' })
  const piped = await Client.open(target)
  piped.pipeline([{ path: '/events' }, { path: '/behind' }])
  expect((await piped.answer()).body).toBe('data: one\n\n')
  await expect(piped.answer()).rejects.toMatchObject({ outcome: 'closed' })
  await running.line(/^hook open true false$/m)
  expect(running.stdout.match(/^hook .*$/gm)).toEqual([
    ...['hook HEAD /head', 'hook open false true', 'hook GET /events', 'hook open true false'],
  ])
})

it('C10 a slow reader costs maxSendBufferBytes and no more; what is dropped is said, and it is told when there is room', async () => {
  const max = 300_000
  const { running, target } = await startWeb(
    `
worker.onBufferFull = (connection) => console.log('hook full', connection.bufferedBytes)
worker.onBufferDrain = (connection) => console.log('hook drain', connection.bufferedBytes)
worker.onError = (connection, error) => console.log('hook error', error.code)
worker.onMessage = (connection) => {
  const events = connection.events({ heartbeatMs: 1 })
  let id = 0
  let dropped = 0
  const send = () => {
    if (dropped === 50) return console.log('hook sent', id)
    if (events.send({ id: id + 1, data: 'x'.repeat(50_000) }) === false) dropped++
    else id++
    setImmediate(send)
  }
  send()
  connection.onBufferDrain = () => { events.send({ id: 'last', data: 'last' }); events.close() }
}`,
    { options: { maxSendBufferBytes: max } },
  )
  const events = reader({ ...target, retryMs: null })
  await events.until('it is open', (it) => it.statuses.length === 1)
  events.pause()
  const [, sent = ''] = await running.line(/^hook sent (\d+)$/m)
  const [, full = ''] = await running.line(/^hook full (\d+)$/m)
  expect(Number(full)).toBeGreaterThanOrEqual(max)
  expect(Number(full)).toBeLessThan(max + 60_000)
  expect(running.stdout.match(/^hook error ERR_SEND_BUFFER_FULL$/gm)).toHaveLength(50)
  events.resume()
  await events.until('the end', (it) => it.ends.length === 1)
  expect(events.ends).toEqual(['whole'])
  // all that was not dropped, in order
  const ids = Array.from({ length: Number(sent) }, (_, index) => String(index + 1))
  expect(events.events.map(({ id }) => id)).toEqual([...ids, 'last'])
})

// ---- reloads -------------------------------------------------------------------------------------------------------

/** Numbered events, each reader's own; one that comes back is given what it has not seen. */
const APP = (version: number): string => `
export function openEvents(connection) {
  const events = connection.events({ retryMs: 5 })
  let id = Number(events.lastEventId || 0)
  const timer = setInterval(() => {
    if (events.send({ id: id + 1, data: '${version} ' + process.pid }) !== false) id++
  }, 4)
  events.signal.addEventListener('abort', () => clearInterval(timer))
}
`
const START = `
import { Worker } from 'shiftwork'
const web = new Worker('http://127.0.0.1:0', { name: 'web', count: 2, bakeMs: 50 })
web.onWorkerStart = async (worker) => {
  const { openEvents } = await import('./app.js')
  worker.onMessage = (connection) => openEvents(connection)
}
Worker.runAll()
`

it('A15 thirty readers of numbered events through ten reloads miss none and see none twice, and no stream is cut', async () => {
  const project = Project.create({ 'start.js': START, 'app.js': APP(1) })
  await project.start()
  const port = await project.port()
  const readers = Array.from({ length: 30 }, () => reader({ port }))
  for (const each of readers) await each.until('it has begun', ({ events }) => events.length >= 5)
  for (let version = 2; version <= 11; version++) {
    project.write('app.js', APP(version))
    const { code, summary } = await project.reload()
    expect({ code, result: summary.result }).toEqual({ code: 0, result: 'done' })
    expect(summary.replaced.map(({ connectionsCut }) => connectionsCut)).toEqual([0, 0])
    for (const each of readers)
      await each.until(`version ${version}`, ({ events }) => events.at(-1)?.data.startsWith(`${version} `) === true)
  }
  for (const each of readers) each.close()
  for (const { events, ends } of readers) {
    expect(events.map(({ id }) => Number(id))).toEqual(events.map((_, index) => index + 1))
    expect(new Set(ends)).toEqual(new Set(['whole']))
    const versions = events.map(({ data }) => Number(data.split(' ')[0]))
    expect([versions[0], versions.at(-1)]).toEqual([1, 11])
  }
  const pids = new Set(readers.flatMap(({ events }) => events.map(({ data }) => data.split(' ')[1])))
  expect(pids.size).toBeGreaterThanOrEqual(11)
})

it('A15 readers that come all at once to a worker that leaves are sent away at once, and a stop ends every stream', async () => {
  const project = Project.create({ 'start.js': START, 'app.js': APP(1) })
  const running = await project.start()
  const port = await project.port()
  const readers = Array.from({ length: 50 }, () => reader({ port }))
  for (const each of readers) await each.until('it has begun', ({ events }) => events.length >= 2)
  const { code, ms } = await project.shiftwork('stop')
  expect(code).toBe(0)
  // long before the deadline of 25 s
  expect(ms).toBeLessThan(15_000)
  await running.ended
  for (const each of readers) each.close()
  for (const { ends } of readers) {
    const whole = ends.filter((end) => end !== 'refused')
    expect(new Set(whole)).toEqual(new Set(['whole']))
    // one that was ended by the first worker may have come to the other before that one was told
    expect(whole.length).toBeLessThanOrEqual(2)
  }
})
