/**
 * JSON in netstrings: its length in decimal digits, a colon, that many bytes, a comma. What any of the three functions
 * throws costs the connection its life that sent such bytes, and nobody else anything.
 */
import type { Protocol } from 'shiftwork'

const COLON = 0x3a
const COMMA = 0x2c
/** More digits than any message may have. */
const MAX_DIGITS = 8

export interface Question {
  add?: number[]
}

export type Answer = { sum: number } | { error: string } | { ping: true }

export const JSON_STRINGS: Protocol<Question, Answer> = {
  input(buffer) {
    const colon = buffer.indexOf(COLON)
    if (colon < 0 && buffer.length <= MAX_DIGITS) return 0
    const digits = buffer.toString('latin1', 0, Math.max(colon, 0))
    if (!/^\d{1,8}$/.test(digits)) throw new Error('a message begins with its length')
    return colon + 1 + Number(digits) + 1
  },

  decode(bytes) {
    if (bytes.at(-1) !== COMMA) throw new Error('a message ends with a comma')
    return JSON.parse(bytes.toString('utf8', bytes.indexOf(COLON) + 1, bytes.length - 1)) as Question
  },

  encode(answer) {
    const text = JSON.stringify(answer)
    return `${Buffer.byteLength(text)}:${text},`
  },
}
