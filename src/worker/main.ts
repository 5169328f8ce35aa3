/**
 * The first module of every worker process. Before any user code runs it installs the signals and
 * the link to the master; then it imports the start file inside a `try`, so that a syntax error or a
 * throw reaches the master with its stack. What the file describes runs in `runAll`, see `run`.
 */
import { basename } from 'node:path'
import { pathToFileURL } from 'node:url'
import { keepOutput } from './output.ts'
import { openParent } from './parent.ts'
import { isReporter } from './reporters.ts'
import { sweepOwn } from './sweep.ts'

/** Ctrl-C and a service manager reach workers too; only the master decides. One row a signal. */
const SIGNALS = {
  SIGTERM: 'terminate',
  SIGINT: 'ignore',
  SIGQUIT: 'ignore',
  SIGHUP: 'ignore',
  SIGUSR1: 'ignore',
  SIGUSR2: 'ignore',
} as const satisfies Partial<Record<NodeJS.Signals, 'terminate' | 'ignore'>>

let locateError: ((error: unknown) => string | null) | null = null
const output = keepOutput((text) => link.report({ type: 'output', text }))
const link = openParent({ outputTail: () => output.text(), locate: (error) => locateError?.(error) ?? null })
const { startFile, name, id, generation, attempt, isReader } = link.identity
let isServing = false
link.onServing = () => {
  isServing = true
  output.release()
}

for (const [signal, meaning] of Object.entries(SIGNALS))
  process.on(signal, () => {
    if (meaning === 'terminate') link.onTerminate?.()
  })

const onUncaught = (error: unknown): void => {
  const others = process.listeners('uncaughtException').filter((listener) => listener !== onUncaught)
  // user code that handles these by itself has decided to go on
  if (!others.every(isReporter)) return
  if (link.onCrash) link.onCrash(error)
  else link.fail(error)
}
process.on('uncaughtException', onUncaught)

process.on('exit', (code) => {
  if (!isServing) link.report({ type: 'exiting', code, output: output.text() })
})

process.argv = [process.argv[0] ?? process.execPath, startFile]
process.title = isReader
  ? `shiftwork: reads ${basename(startFile)}`
  : `shiftwork: ${name}/${id} g${generation} ${basename(startFile)}`

// a terminal that went away, a pipe that was closed: nobody reads any more, the requests are served all the same
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

// whoever was to admit this process is gone, and it may wait in the user's code for ever
link.onLost(() => {
  if (link.onCrash === null) void sweepOwn(link.mark).finally(() => process.exit(1))
})

async function load(): Promise<void> {
  if (attempt > 1 || isReader) {
    const { watchSyntax } = await import('../os/syntax.ts')
    locateError = watchSyntax().locate
  }
  await import(pathToFileURL(startFile).href)
}

load().catch((error: unknown) => link.fail(error))
