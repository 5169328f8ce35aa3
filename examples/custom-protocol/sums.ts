/** Business code: values in, values out; of bytes it knows nothing. */
import type { Answer, Question } from './protocol.ts'

export function answer({ add }: Question): Answer {
  if (!Array.isArray(add) || !add.every((number) => typeof number === 'number'))
    return { error: 'say { "add": [1, 2] }' }
  return { sum: add.reduce((sum, number) => sum + number, 0) }
}
