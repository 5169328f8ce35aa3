/** A machine that is cut off: two fleets in networks of their own, a Redis between them, and the cable pulled. */
import { describe, expect, it } from 'vitest'
import { Fleet } from '../helpers/busfleets.ts'
import { createNetwork, whyNoNetworks } from '../helpers/networks.ts'
import { until } from '../helpers/processes.ts'
import { RedisServer } from '../helpers/redis.ts'

/** Long before anybody sees that Redis is away. */
const SOON = { deadlineMs: 1_000 }
const REASON = whyNoNetworks()

describe('a machine that is cut off', () => {
  it.for(['middle', 'here'] as const)(
    'goes on by itself, what it sends to others fails in time, and it heals (cut in the %s)',
    async (end, { skip }) => {
      if (REASON !== null) skip(REASON)
      const network = createNetwork(2)
      await RedisServer.start({ within: network.within, bind: '0.0.0.0', port: 6379 })
      const [near, far] = network.machines
      if (!near || !far) throw new Error('there are two machines')
      const fleetOn = ({ within, middle }: typeof near): Promise<Fleet> =>
        Fleet.start({ BUS: `redis://${middle}` }, { within })
      const fleets = await Promise.all([fleetOn(near), fleetOn(far)])
      const [anna, bert] = await Promise.all([fleets[0].client(), fleets[1].client()])
      await until('they meet', async () => (await anna.reach()) === 2 && (await bert.reach()) === 2)
      expect(await anna.do('sendTo', bert.id, 'hello')).toBe('sent')
      await bert.line('hello')

      far.cut(end)
      const lost = await Promise.all([
        anna.attempt('sendTo', bert.id, 'lost', SOON),
        bert.attempt('sendTo', anna.id, 'lost', SOON),
      ])
      for (const { error, ms } of lost) {
        expect(error?.code).toMatch(/^(ERR_NO_ANSWER|ERR_CONNECTION_CLOSED|ERR_BUS)$/)
        expect(ms).toBeLessThan(4_000)
      }
      for (const client of [anna, bert]) expect(await client.do('sendTo', client.id, 'to myself')).toBe('sent')
      const newcomer = await fleets[1].client()
      expect(await newcomer.do('sendTo', bert.id, 'from here')).toBe('sent')

      await until('the far side knows that it is cut off', async () => {
        const { error } = await bert.attempt('sendTo', anna.id, 'lost', SOON)
        return error?.code === 'ERR_BUS' && error.message.includes('is away')
      })
      const everybody = await bert.attempt('sendToAll', 'to those of this machine')
      expect(everybody.result).toMatchObject({ sent: 2, missing: [{ gateway: 'bus' }] })
      // and not after a share of its deadline of 20 s
      expect(everybody.ms).toBeLessThan(5_000)
      await until('the near side counts it no more', async () => (await anna.reach()) === 1)
      // it may live: nobody says that its clients are gone
      expect(await anna.attempt('sendTo', bert.id, 'lost')).toMatchObject({
        error: { code: 'ERR_BUS', message: expect.stringMatching(/not heard of for \d+ s/) as string },
      })

      far.mend(end)
      await until('all are counted again', async () => (await anna.reach()) === 3 && (await bert.reach()) === 3)
      expect(await anna.do('sendTo', bert.id, 'there again')).toBe('sent')
      expect(await bert.do('sendTo', anna.id, 'here, too')).toBe('sent')
      await Promise.all([bert.line('there again'), anna.line('here, too')])
      expect([...anna.lines, ...bert.lines]).not.toContain('lost')
      for (const { project } of fleets)
        expect(
          (await project.status()).groups.flatMap(({ processes }) => processes.map((row) => row.restarts)),
        ).toEqual([0, 0])
    },
  )
})
