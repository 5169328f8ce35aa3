/** Whether a fleet could listen where it is to, found out while another one runs. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { type Address, parseAddress } from '../../../src/address.ts'
import { tryAddresses } from '../../../src/master/tryaddresses.ts'
import type { Spec } from '../../../src/spec/spec.ts'
import { temporaryDirectory } from '../tempdir.ts'

async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function wanted(...texts: (string | null)[]): { specs: Spec[]; metrics: Address | null } {
  const specs = texts.map((text) => {
    const address = text === null ? null : parseAddress(text)
    return { address, socketMode: null, socketOwner: null } as Spec
  })
  return { specs, metrics: null }
}

const NOBODY = { has: () => false, isInTheWay: () => false }

it('an address that somebody has is refused, also that of the metrics', async () => {
  const text = `http://127.0.0.1:${await takenPort()}`
  const inUse = { code: 'ERR_ADDRESS_IN_USE', message: expect.stringContaining(`Cannot listen on ${text}`) }
  await expect(tryAddresses(wanted(null, text), NOBODY)).rejects.toMatchObject(inUse)
  await expect(tryAddresses({ specs: [], metrics: parseAddress(text) }, NOBODY)).rejects.toMatchObject(inUse)
})

it('what the former master has is not tried, and what it alone is in the way of is no reason', async () => {
  const text = `http://127.0.0.1:${await takenPort()}`
  const asked: string[] = []
  const isInTheWay = (address: Address): boolean => asked.push(address.text) > 0
  await tryAddresses(wanted(text), { has: () => true, isInTheWay })
  expect(asked).toEqual([])
  await tryAddresses(wanted(text), { has: () => false, isInTheWay })
  expect(asked).toEqual([text])
})

it('anything else that is wrong with an address is refused, whoever is in the way', async () => {
  const path = join(temporaryDirectory(), 'no/such/web.sock')
  await expect(
    tryAddresses(wanted(`http+unix://${path}`), { has: () => false, isInTheWay: () => true }),
  ).rejects.toThrow('its directory does not exist')
})

it('nothing is left of what was tried', async () => {
  const path = join(temporaryDirectory(), 'web.sock')
  const again = wanted('http://127.0.0.1:0', `http+unix://${path}`)
  await tryAddresses(again, NOBODY)
  await tryAddresses(again, NOBODY)
  expect(existsSync(path)).toBe(false)
})
