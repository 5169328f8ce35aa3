/**
 * `wrk` and `ab` as clients: they know nothing of this project, and count by themselves what failed.
 * Both are strict: nothing is tried again in silence, and a connection that closes without an answer
 * counts, also one that has carried others before. An answer with `Connection: close` is none of that:
 * both open another connection then. The tests prove it.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Project, Running } from './project.ts'

/** `apt-get install wrk apache2-utils`. */
export const hasTools = ['wrk', 'ab'].every((tool) => spawnSync(tool, ['-h']).error === undefined)

/** What the tool has counted: requests that were answered, and, each by the tool's own name, what failed. */
export interface Score {
  requests: number
  failed: Record<string, number>
}

/** Where nothing failed: every count of the tool's is there, and 0. */
export function nothingFailed({ failed }: Score): Record<string, number> {
  return Object.fromEntries(Object.keys(failed).map((name) => [name, 0]))
}

const MAX_SECONDS = 120
const CLIENTS = 30

/** wrk's clients wait for a moment between two requests when its script says so: their connections are at rest then. */
const PAUSES = 'function delay() return math.random(0, 20) end\n'

export type ToolName = keyof typeof TOOLS

interface Tool {
  words: (url: string, project: Project) => string[]
  score: (stdout: string) => Score
}

/** Each without any option that forgives. */
export const TOOLS = {
  'wrk, keep-alive': { words: wrk([]), score: wrkScore },
  'wrk, keep-alive with pauses': { words: wrk(['-s', 'pauses.lua']), score: wrkScore },
  // without the blank wrk would not take it for a header
  'wrk, a connection for each request': { words: wrk(['-H', 'Connection: close']), score: wrkScore },
  // without -r ab ends at the first reset; without -l an answer of another length is a failed one
  'ab, keep-alive': { words: ab(['-k']), score: abScore },
  'ab, a connection for each request': { words: ab([]), score: abScore },
} satisfies Record<string, Tool>

function wrk(more: string[]): Tool['words'] {
  return (url, project) => {
    writeFileSync(join(project.dir, 'pauses.lua'), PAUSES)
    return ['wrk', '-t', '2', '-c', String(CLIENTS), '-d', `${MAX_SECONDS}s`, '--timeout', '20s', ...more, url]
  }
}

function ab(more: string[]): Tool['words'] {
  return (url) => ['ab', '-q', '-c', String(CLIENTS), '-s', '20', '-t', `${MAX_SECONDS}`, '-n', '9999999', ...more, url]
}

/** wrk is silent about what did not happen. */
function wrkScore(stdout: string): Score {
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout) ?? []
  const [connect, read, write, timeout] = [1, 2, 3, 4].map((index) => Number(errors[index] ?? 0))
  const status = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0)
  return {
    requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
    failed: { connect: connect ?? 0, read: read ?? 0, write: write ?? 0, timeout: timeout ?? 0, 'non-2xx': status },
  }
}

function abScore(stdout: string): Score {
  const count = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(stdout)?.[1] ?? 0)
  return {
    requests: Number(/^Complete requests:\s+(\d+)/m.exec(stdout)?.[1]),
    failed: { failed: count('Failed requests'), write: count('Write errors'), 'non-2xx': count('Non-2xx responses') },
  }
}

/** Begins; it goes on until `end`. */
export function unleash(name: ToolName, url: string, project: Project): { end(): Promise<Score> } {
  const { words, score } = TOOLS[name]
  const [command = '', ...args] = words(url, project)
  const running: Running = project.launch(command, args)
  return {
    // SIGINT: it says what it has counted, and ends
    end: async () => {
      running.kill('SIGINT')
      const { stdout, stderr } = await running.ended
      const result = score(stdout)
      // ab prints what made it end early, and no counts then
      if (stderr !== '' || Number.isNaN(result.requests)) throw new Error(`${name}: ${stdout}${stderr}`)
      return result
    },
  }
}
