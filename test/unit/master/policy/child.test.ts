/** The table of a child's life: every state with every event, and what no path through it may do. */
import { describe, expect, it } from 'vitest'
import {
  CHILD_TABLE,
  type ChildEvent,
  type ChildState,
  isComing,
  isGone,
  transition,
} from '../../../../src/master/policy/child.ts'

const STATES = Object.keys(CHILD_TABLE) as ChildState[]
const EVENTS: ChildEvent[] = ['prepared', 'admit', 'serving', 'failed', 'leaving', 'hang', 'drain', 'deadline', 'exit']
const LIFE: ChildState[] = ['starting', 'prepared', 'admitted', 'serving', 'hung', 'draining', 'killed', 'exited']

/** What happens, state by state; `·` is an event that means nothing there. In the order of EVENTS. */
const EXPECTED: Record<ChildState, string> = {
  starting: 'prepared · · draining draining · draining+send-drain killed+kill exited',
  prepared: '· admitted+send-serve · draining draining · draining+send-drain · exited',
  admitted: '· · serving draining draining · draining+send-drain killed+kill exited',
  serving: '· · · · draining hung draining+send-drain · exited',
  hung: '· · · · · · draining+send-drain killed+kill exited',
  draining: '· · · · · · draining+send-drain killed+kill exited',
  killed: '· · · · · · · killed+kill exited',
  exited: '· · · · · · · · ·',
}

function cellText(state: ChildState, event: ChildEvent): string {
  const cell = transition(state, event)
  if (!cell) return '·'
  return cell.effect === undefined ? cell.to : `${cell.to}+${cell.effect}`
}

describe('the life of a child', () => {
  it.each(STATES)('%s: each event leads where it ought to, or is dropped', (state) => {
    expect(EVENTS.map((event) => cellText(state, event)).join(' ')).toBe(EXPECTED[state])
  })

  it('has no way back: every event leads onward or stays', () => {
    expect([...STATES].sort()).toEqual([...LIFE].sort())
    for (const state of STATES)
      for (const event of EVENTS) {
        const cell = transition(state, event)
        if (cell) expect(LIFE.indexOf(cell.to), `${state} on ${event}`).toBeGreaterThanOrEqual(LIFE.indexOf(state))
      }
  })

  it('ends with its exit, from every state, and nothing follows', () => {
    for (const state of STATES.filter((one) => one !== 'exited')) expect(transition(state, 'exit')?.to).toBe('exited')
    for (const event of EVENTS) expect(transition('exited', event)).toBeNull()
  })

  it('is killed at a deadline and at nothing else', () => {
    for (const state of STATES)
      for (const event of EVENTS) {
        const cell = transition(state, event)
        if (cell?.effect === 'kill' || (cell?.to === 'killed' && state !== 'killed')) expect(event).toBe('deadline')
      }
  })

  it('never serves without having been admitted', () => {
    for (const state of STATES)
      for (const event of EVENTS) {
        const cell = transition(state, event)
        if (cell?.effect === 'send-serve') expect([state, event]).toEqual(['prepared', 'admit'])
        if (cell?.to === 'serving') expect([state, event]).toEqual(['admitted', 'serving'])
      }
  })

  it('is coming until it serves, and gone when it has exited', () => {
    expect(LIFE.filter(isComing)).toEqual(['starting', 'prepared', 'admitted'])
    expect(LIFE.filter(isGone)).toEqual(['exited'])
  })
})
