/** Server-sent events as text, and what a stream of them does with what its connection says. */
import { describe, expect, it, vi } from 'vitest'
import { EventStream, encodeEvent, type ServerSentEvent } from '../../../../src/protocols/http/events.ts'

describe('encodeEvent', () => {
  it.each<[ServerSentEvent, string]>([
    [{ data: 'text' }, 'data: text\n\n'],
    [{ data: '' }, 'data: \n\n'],
    [{ data: 'a\nb\r\nc\rd\n' }, 'data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n'],
    [{ data: { a: 'b\nc' } }, 'data: {"a":"b\\nc"}\n\n'],
    [{ data: null }, 'data: null\n\n'],
    [{ data: false, event: 'e', id: 5, retry: 1.4 }, 'event: e\nid: 5\nretry: 1\ndata: false\n\n'],
    [{ id: '' }, 'id: \n\n'],
    [{ retry: -1 }, 'retry: 0\n\n'],
    [{ data: () => 1 }, 'data: null\n\n'],
  ])('%j', (event, text) => {
    expect(encodeEvent(event)).toBe(text)
  })

  it('refuses a name or an id that would be another field', () => {
    for (const value of ['a\nb', 'a\r', '\0'])
      for (const event of [{ id: value }, { event: value }]) expect(() => encodeEvent(event)).toThrow(TypeError)
  })
})

function outlet(result: boolean | null = true) {
  const written: string[] = []
  const made = {
    isWaiting: false,
    ended: 0,
    written,
    write: (text: string) => {
      written.push(text)
      return result
    },
    end: () => void made.ended++,
  }
  return made
}

describe('EventStream', () => {
  it('returns what the connection says, and ends once', () => {
    const out = outlet(null)
    const events = new EventStream(out, '7', { retryMs: 100 })
    expect([events.lastEventId, events.isOpen, events.send('a')]).toEqual(['7', true, null])
    events.close()
    events.close()
    expect([events.isOpen, events.send('b'), out.ended, out.written]).toEqual([
      ...[false, false, 1, ['retry: 100\n\n', 'data: a\n\n']],
    ])
    expect(events.signal.aborted).toBe(false)
    events.abort()
    expect(events.signal.aborted).toBe(true)
  })

  it('with nobody behind it is over from the beginning', () => {
    const events = new EventStream(null, '', { retryMs: 1, heartbeatMs: 1 })
    expect([events.isOpen, events.signal.aborted, events.send('a')]).toEqual([false, true, false])
    events.close()
  })

  it('sends comments in a silence, none to a reader that does not keep up, none when it is over', () => {
    vi.useFakeTimers()
    const out = outlet()
    const events = new EventStream(out, '', { heartbeatMs: 100 })
    vi.advanceTimersByTime(250)
    out.isWaiting = true
    vi.advanceTimersByTime(200)
    out.isWaiting = false
    vi.advanceTimersByTime(100)
    expect(out.written).toEqual([':\n\n', ':\n\n', ':\n\n'])
    events.abort()
    vi.advanceTimersByTime(500)
    expect(out.written).toHaveLength(3)
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })
})
