/** What hooks return that is not done yet: whatever `await` would wait for. */
import { expect, it } from 'vitest'
import { settlingOf } from '../../src/settling.ts'

it.each([undefined, null, 0, '', false, true, {}])('%o is done', (result) => {
  expect(settlingOf(result)).toBeNull()
})

it('a promise is itself; another thenable is begun, and waited for', async () => {
  const promise = Promise.resolve(1)
  expect(settlingOf(promise)).toBe(promise)
  let begun = 0
  const query = {
    // biome-ignore lint/suspicious/noThenProperty: as builders of queries have it
    then: (resolve: (rows: number) => void) => {
      begun++
      resolve(3)
    },
  }
  expect(await settlingOf(query)).toBe(3)
  expect(begun).toBe(1)
})
