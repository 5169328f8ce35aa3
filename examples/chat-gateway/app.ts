/**
 * What the chat does: business code, replaced by each reload. It remembers nothing by itself: who somebody is and where
 * stands in the gateway, as uid, group and session, so the next process knows it as well as this one.
 */
import type { Client } from 'shiftwork/gateway'
import { type Asked, parse, words } from './words.ts'

const VERSION = 'version 1'
const MAX_SHOWN = 50

type Act = (client: Client, asked: Asked) => Promise<unknown>

/** What a page may ask for: the name of an act, and the fields that it needs. */
const ACTS = new Map<string, Act>(Object.entries({ name: takeName, room: enter, who: showRoom, say, whisper }))

export async function onConnect(client: Client): Promise<void> {
  await tell(client, { hello: true })
}

export async function onMessage(client: Client, data: string | Buffer): Promise<void> {
  const asked = parse(data)
  const act = ACTS.get(asked.act)
  if (!act) await tell(client, { error: 'what do you mean?' })
  else if (act !== takeName && nameOf(client) === '') await tell(client, { error: 'say who you are first' })
  else await act(client, asked)
}

export async function onClose(client: Client): Promise<void> {
  if (roomOf(client)) await tellRoom(client, { left: nameOf(client) })
}

/** What failed is in the log; who asked for it is told as well. */
export async function onError(client: Client): Promise<void> {
  await tell(client, { error: 'that did not work, please try again' })
}

// ---- acts ----------------------------------------------------------------------------------------------------------

/** A name is claimed first: of two who want it at once at most one gets it, whichever processes handle them. */
async function takeName(client: Client, { name }: Asked): Promise<void> {
  if (nameOf(client) === '') {
    const key = name.toLowerCase()
    await client.bindUid(`claim:${key}`)
    if (key === '' || (await client.gateways.count({ uid: [`claim:${key}`, `name:${key}`] })) > 1) {
      await client.unbindUid()
      await tell(client, { refused: name })
      return
    }
    await client.bindUid(`name:${key}`)
    await client.setSession({ name })
  }
  await tell(client, { you: nameOf(client) })
}

/** All of it can be done twice: it is, when a worker is killed before it was done. */
async function enter(client: Client, { room }: Asked): Promise<void> {
  const former = roomOf(client)
  if (room === '') return
  if (former && former !== room) {
    await client.leave(`room:${former}`)
    await tellRoom(client, { left: nameOf(client) })
  }
  await client.join(`room:${room}`)
  await client.setSession({ room })
  await tell(client, { room })
  await tellRoom(client, { came: nameOf(client) })
}

/** A page asks for it when it hears that somebody has come or gone: what it is told then is never older than that. */
async function showRoom(client: Client): Promise<void> {
  const { gateways } = client
  const { items, next } = await gateways.clients({ group: `room:${roomOf(client)}` }, { limit: MAX_SHOWN })
  const sessions = await Promise.all(items.map((id) => gateways.session(id)))
  const here = sessions.flatMap((session) => (session ? [session.name] : []))
  await tell(client, { here, isWhole: next === null })
}

/**
 * The key says which message it is. When a worker is killed over a message, another handles it again, and a page that
 * has shown it already leaves it out. A reload repeats nothing.
 */
async function say(client: Client, { text, number }: Asked): Promise<void> {
  if (text) await tellRoom(client, { from: nameOf(client), text, key: `${client.id}/${number}` })
}

async function whisper(client: Client, { text, to, number }: Asked): Promise<void> {
  const news = { from: nameOf(client), to, text, key: `${client.id}/${number}` }
  const { sent, buffered } = await client.gateways.sendToUid(`name:${to.toLowerCase()}`, written(news))
  if (sent + buffered === 0) await tell(client, { error: `${to} is not here` })
  else await tell(client, news)
}

// ---- words ---------------------------------------------------------------------------------------------------------

function nameOf({ session }: Client): string {
  return words(session.name)
}

function roomOf({ session }: Client): string {
  return words(session.room)
}

/** Everything that the page is told says which code has said it. */
function written(news: object): string {
  return JSON.stringify({ ...news, by: VERSION, pid: process.pid })
}

function tell(client: Client, news: object): Promise<unknown> {
  return client.send(written(news))
}

function tellRoom(client: Client, news: object): Promise<unknown> {
  return client.gateways.sendToGroup(`room:${roomOf(client)}`, written(news))
}
