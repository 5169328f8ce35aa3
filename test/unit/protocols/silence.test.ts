/** When a silent client is asked, and when it is disconnected. */
import { describe, expect, it } from 'vitest'
import { judge, lookEveryMs, Questions, type SilenceLimits } from '../../../src/protocols/silence.ts'

const IDLE = { idleTimeoutMs: 100, heartbeat: null }
const HEARTBEAT = { idleTimeoutMs: 0, heartbeat: { everyMs: 100, maxMissed: 2 } }

it.each([
  [{ idleTimeoutMs: 0, heartbeat: null }, 1e9, 0, 0, 'bear'],
  [IDLE, 99, 0, 0, 'bear'],
  [IDLE, 100, 0, 0, 'close'],
  [HEARTBEAT, 99, 0, 0, 'bear'],
  [HEARTBEAT, 100, 0, 0, 'ask'],
  [HEARTBEAT, 150, 100, 1, 'bear'],
  [HEARTBEAT, 200, 100, 1, 'ask'],
  [HEARTBEAT, 299, 200, 2, 'bear'],
  [HEARTBEAT, 300, 200, 2, 'give up'],
  // looked at much too late: it is given its time all the same
  [HEARTBEAT, 10_000, 0, 0, 'ask'],
  [HEARTBEAT, 10_099, 10_000, 1, 'bear'],
  [HEARTBEAT, 10_100, 10_000, 1, 'ask'],
  // both: who does not answer is gone, who answers and says nothing of his own is not idle
  [{ idleTimeoutMs: 250, heartbeat: HEARTBEAT.heartbeat }, 220, 100, 1, 'ask'],
  [{ idleTimeoutMs: 250, heartbeat: HEARTBEAT.heartbeat }, 250, 200, 2, 'close'],
] as const)('with %j, heard at 0, now %i, asked last at %i (%i times): %s', (limits, now, askedAt, asked, verdict) => {
  expect(judge({ heardAt: 0, askedAt, asked }, limits, now)).toBe(verdict)
})

describe('a client that falls silent', () => {
  /** Looks every 25 ms at one that answers the first so many pings at once. */
  function live(limits: SilenceLimits, answers: number): string[] {
    const history: string[] = []
    const questions = new Questions()
    let heardAt = 0
    let pings = 0
    for (let now = 0; now <= 3_000; now += 25) {
      const verdict = questions.next(heardAt, now, limits)
      if (verdict === 'bear') continue
      history.push(`${now} ${verdict}`)
      if (verdict !== 'ask') break
      if (pings++ < answers) heardAt = now
    }
    return history
  }

  it('is asked maxMissed times, and given up when the last was not answered in time', () => {
    expect(live(HEARTBEAT, 0)).toEqual(['100 ask', '200 ask', '300 give up'])
    expect(live(HEARTBEAT, 2)).toEqual(['100 ask', '200 ask', '300 ask', '400 ask', '500 give up'])
    expect(live({ idleTimeoutMs: 0, heartbeat: { everyMs: 100, maxMissed: 1 } }, 0)).toEqual(['100 ask', '200 give up'])
  })

  it('is told why', () => {
    const questions = new Questions()
    for (const now of [100, 200]) questions.next(0, now, HEARTBEAT)
    expect(questions.unanswered(300.4)).toMatchObject({
      code: 'ERR_TIMEOUT',
      message: 'Nothing has come for 300 ms, and no answer to 2 pings',
    })
  })

  it('lives for ever while it answers', () => {
    expect(live(HEARTBEAT, 1_000).at(-1)).toBe('3000 ask')
  })
})

it.each([
  [{ idleTimeoutMs: 0, heartbeat: null }, null],
  [{ idleTimeoutMs: 1, heartbeat: null }, 10],
  [{ idleTimeoutMs: 400, heartbeat: null }, 100],
  [{ idleTimeoutMs: 3_600_000, heartbeat: null }, 1_000],
  [{ idleTimeoutMs: 0, heartbeat: { everyMs: 200, maxMissed: 2 } }, 50],
  [{ idleTimeoutMs: 1_000, heartbeat: { everyMs: 200, maxMissed: 2 } }, 50],
  [{ idleTimeoutMs: 100, heartbeat: { everyMs: 200, maxMissed: 2 } }, 25],
])('%j is looked at every %s ms', (limits, ms) => {
  expect(lookEveryMs(limits)).toBe(ms)
})
