/**
 * Reads the start file anew in a process that does nothing else: for a dry run, and for a reload that
 * starts no successor who could tell. Called by the supervisor.
 */
import type { Failure } from '../ipc/status.ts'
import type { Reading } from './policy/operations.ts'
import { type Launcher, spawnProcess } from './spawn.ts'

export type ReadResult = { reading: Reading } | { reading: null; failure: Failure; output: string }

/** A start file that waits for ever in its top level. */
const READ_TIMEOUT_MS = 30_000

let readers = 0

/** @param onStart gets a function that ends the process before its time, and what carries its mark is its own. */
export function readStartFile(
  launcher: Launcher,
  onStart: (reader: { end: () => void; mark: string }) => void,
): Promise<ReadResult> {
  return new Promise((resolve) => {
    let result: ReadResult | null = null
    let output = ''
    let late: string | null = null
    // workers count upwards: what a reader has started is known by its own number
    const who = { key: -++readers, name: '', id: 0, generation: 0, attempt: 1, env: {}, isReader: true }
    const process = spawnProcess(launcher, who, {
      onMessage: (message) => {
        if (message.type === 'loaded') {
          const { specs, settings, version } = message
          result = { reading: { specs, settings, version } }
        } else if (message.type === 'failed') {
          result ??= { reading: null, failure: message.failure, output: message.output }
        } else if (message.type === 'output') output = message.text
        else if (message.type === 'exiting') output = message.output
      },
      // its exit is to come
      onParted: () => undefined,
      onExit: (code, signal) => {
        clearTimeout(timer)
        const how = late ?? (signal ? `was ended by ${signal}` : `exited with code ${code ?? 'unknown'}`)
        const message = `the process that reads the start file ${how} before it had read it`
        resolve(result ?? { reading: null, failure: { message, stack: message }, output })
      },
    })
    const timer = setTimeout(() => {
      late = `was not done after ${READ_TIMEOUT_MS} ms`
      process.kill()
    }, READ_TIMEOUT_MS)
    onStart({ end: () => process.kill(), mark: process.mark })
  })
}
