/** How wide a text is on a terminal, and how it is cut to fit. */
import { describe, expect, it } from 'vitest'
import { fitParts, fitText, textWidth, withRight } from '../../../src/cli/text.ts'

const green = (text: string): string => `\u001b[32m${text}\u001b[39m`

it.each([
  ['', 0],
  ['web', 3],
  [green('web'), 3],
  ['größe', 5],
  ['网关', 4],
  ['가나', 4],
  ['🚀', 2],
  ['e\u0301', 1],
  ['…', 1],
])('textWidth(%j) is %d', (text, width) => {
  expect(textWidth(text)).toBe(width)
})

describe('fitText', () => {
  it.each([
    ['gateway', 7, 'gateway'],
    ['gateway', 6, 'gatew…'],
    ['gateway', 1, '…'],
    ['gateway', 0, ''],
    ['网关网关', 8, '网关网关'],
    ['网关网关', 7, '网关网…'],
    ['网关网关', 6, '网关…'],
    ['🚀🚀', 3, '🚀…'],
  ])('of %j in %d columns is %j', (text, columns, fitted) => {
    expect(fitText(text, columns)).toBe(fitted)
  })

  it('keeps colours, and ends them where it cuts', () => {
    expect(fitText(`${green('ok')} web`, 6)).toBe(`${green('ok')} web`)
    expect(fitText(green('serving'), 4)).toBe('\u001b[32mser…\u001b[0m')
  })

  it('lets nothing through that would move the cursor', () => {
    expect(fitText('a\nb\tc\u001b[2J d\r\u0007e', 20)).toBe('a b c d e')
  })
})

describe('fitParts', () => {
  it('takes as many parts as fit, none of them empty', () => {
    expect(fitParts(['web', '', 'ok', 'http://0.0.0.0:8080'], 40)).toBe('web  ok  http://0.0.0.0:8080')
    expect(fitParts(['web', '', 'ok', 'http://0.0.0.0:8080'], 20)).toBe('web  ok')
  })

  it('cuts the first rather than leave it out', () => {
    expect(fitParts(['gateway', 'ok'], 5)).toBe('gate…')
  })
})

it('withRight sets the end at the edge, or leaves it out', () => {
  expect(withRight('web', '12:00', 12)).toBe('web    12:00')
  expect(withRight('web', '12:00', 9)).toBe('web')
})
