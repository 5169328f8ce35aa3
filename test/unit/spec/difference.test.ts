/** What one start file says otherwise than another, in words. */
import { expect, it } from 'vitest'
import { differencesOf, disagreementOf, originNeedsRestart } from '../../../src/spec/difference.ts'
import { checkSettings } from '../../../src/spec/settings.ts'
import { spec } from '../specs.ts'

it('names nothing when only times, limits and the environment have changed', () => {
  const next = spec('web', {
    stopTimeoutMs: 1,
    startTimeoutMs: 2,
    bakeMs: 3,
    stopDelayMs: 4,
    maxRequests: 5,
    env: { A: 'b' },
  })
  expect(differencesOf(spec('web'), next)).toEqual([])
})

it('names every difference that people need to be told of', () => {
  const old = spec('web', { backlog: 10 }, 'http+unix:///run/a.sock')
  const next = spec(
    'web',
    { count: 3, reloadable: false, backlog: 20, user: 'me', group: 'us', socketMode: 0o600, socketOwner: 'you' },
    'http+unix:///run/b.sock',
  )
  expect(differencesOf(old, { ...next, after: ['db', 'cache'] }).map(({ text }) => text)).toEqual([
    'address http+unix:///run/a.sock → http+unix:///run/b.sock',
    'count 1 → 3',
    'reloadable true → false',
    'after none → db, cache',
    'backlog 10 → 20',
    'user none → me',
    'group none → us',
    'socketMode none → 384',
    'socketOwner none → you',
  ])
})

it("names what runAll's options, which the master has read once, say otherwise, and another version", () => {
  const running = { settings: checkSettings({}), version: '1.0.0' }
  expect(originNeedsRestart(running, { settings: checkSettings({}), version: '1.0.0' })).toEqual([])
  const settings = checkSettings({ metrics: 'http://127.0.0.1:9100', preReload: 'make', logFile: 'log' })
  expect(originNeedsRestart(running, { settings, version: '1.1.0' })).toEqual([
    'runAll: preReload has changed',
    'runAll: metrics has changed',
    'runAll: logFile has changed',
    'Shiftwork: 1.0.0 → 1.1.0',
  ])
})

it('names where two readings of one start file differ', () => {
  const base = [spec('web', { env: { A: '1' } }), spec('jobs')]
  expect(disagreementOf(base, [spec('web', { env: { A: '1' } }), spec('jobs')])).toBeNull()
  expect(disagreementOf(base, [spec('web', { env: { A: '2' } }), spec('jobs')])).toBe('web: env.A')
  expect(disagreementOf(base, [spec('web', { env: {} }), spec('jobs')])).toBe('web: env.A')
  expect(disagreementOf(base, [spec('web', { env: { A: '1' }, count: 9 }), spec('jobs')])).toBe('web: count')
  expect(disagreementOf(base, base.slice(0, 1))).toBe('jobs: the group is not there')
  expect(disagreementOf(base.slice(0, 1), base)).toBe('jobs: the group is new')
  expect(disagreementOf(base, base.toReversed())).toBe('the order of the groups')
})
