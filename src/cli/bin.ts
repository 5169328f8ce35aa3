/**
 * `shiftwork <command> [start file]`. Only `start` and `restart` evaluate the start file, by running
 * it as if it had been typed; every other command works also when it is broken.
 */
import { existsSync, statSync } from 'node:fs'
import { extname, isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeError, ShiftworkError } from '../errors.ts'
import { COMMAND_NAMES, COMMANDS, type ExitCode, takesWords } from '../ipc/commands.ts'
import { loaderArgs, missingLoader } from '../os/startfile.ts'
import { watchSyntax } from '../os/syntax.ts'
import { notRunning } from './client.ts'
import { choosePlace, goesOn, runAsking } from './main.ts'
import { namesOrphans } from './orphans.ts'
import { type CommandLine, parseCommandLine, type Usage, wantsJson } from './parse.ts'
import { DEFAULT_FILES, findLivingIn, findStart, type StartPlace } from './startplace.ts'
import { keepStdoutPure, outputTaken, printError, surviveLostOutput } from './terminal.ts'

const SCRIPT = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'])
const LOOKED_FOR = `Without a name it is one of\n${DEFAULT_FILES.join(', ')}.`
const USAGE: Usage = { program: 'shiftwork', takesStartFile: true }

async function main(argv: readonly string[]): Promise<void> {
  surviveLostOutput()
  let isToldToEnd = false
  let code: ExitCode | null
  try {
    assertCommandFirst(argv)
    const line = await parseCommandLine(argv, USAGE)
    isToldToEnd = goesOn(line)
    code = await obey(line, argv)
  } catch (error) {
    code = printError(error, wantsJson(argv))
  }
  if (code !== null) await end(code, { isToldToEnd })
}

/** When all that was printed is with the kernel. */
async function end(code: ExitCode, how: { isToldToEnd: boolean }): Promise<void> {
  process.exitCode = code
  await outputTaken(how)
  process.exit(code)
}

/** @returns null: the start file runs, and ends this process itself. */
async function obey(line: CommandLine, argv: readonly string[]): Promise<ExitCode | null> {
  if (line.command === 'help' || line.command === 'version') return runAsking(line, choosePlace(line, '/'), USAGE)
  const named = takeStartFile(line)
  // whichever start file it is: also in a directory that is gone
  if (named === null && !COMMANDS[line.command].readsStartFile && line.stateDir !== null && isAbsolute(line.stateDir))
    return runAsking(line, choosePlace(line, '/'), USAGE)
  const place = findStart(named)
  if (!COMMANDS[line.command].readsStartFile) return askAbout(place, line)
  assertStartFile(place, line)
  await evaluate(place.startFile, withoutFile(argv, named), line.json)
  return null
}

/** `shiftwork start.ts status` is what the fingers know from `tsx start.ts status`. */
function assertCommandFirst(argv: readonly string[]): void {
  const [first = '', second] = argv.filter((word) => !word.startsWith('-'))
  // whatever else has that name
  if (COMMAND_NAMES.some((known) => known === first)) return
  if (!SCRIPT.has(extname(first)) && !isFile(first)) return
  const command = COMMAND_NAMES.find((known) => known === second) ?? 'start'
  throw new ShiftworkError('ERR_USAGE', 'The command comes before the start file', {
    hint: `Type: shiftwork ${command} ${first}`,
  })
}

/** Takes the start file off the names: what is left are names of workers, which have no ending as a rule. */
function takeStartFile(line: CommandLine): string | null {
  const isNamed = (word: string): boolean =>
    SCRIPT.has(extname(word)) ||
    word.includes('/') ||
    /^\.\.?$/.test(word) ||
    (!takesWords(line.command) && isFile(word))
  // before or behind the names of workers
  const named = line.names.find(isNamed) ?? null
  const rest = line.names.filter((word) => word !== named)
  if (rest[0] !== undefined && !takesWords(line.command))
    throw new ShiftworkError('ERR_USAGE', `"${line.command}" takes a start file and nothing else, not "${rest[0]}"`, {
      hint: `Type: shiftwork ${line.command} path/to/start.ts`,
    })
  line.names = rest
  return named
}

function isFile(path: string): boolean {
  return existsSync(resolve(path)) && statSync(resolve(path)).isFile()
}

/** A master may run though its start file is gone; only when none does is that worth a word. */
async function askAbout(place: StartPlace, line: CommandLine): Promise<ExitCode> {
  const { startFile, directory } = place
  if (startFile === null && line.stateDir === null) {
    const living = await findLivingIn(directory)
    if (living) return runAsking(line, { stateDir: living, startFile: null }, USAGE)
    if (place.isNamed) throw withoutStartFile(place, line)
  }
  try {
    return await runAsking(line, choosePlace(line, startFile ?? resolve('start.ts')), USAGE)
  } catch (error) {
    const isIdle = error instanceof ShiftworkError && error.code === 'ERR_NOT_RUNNING' && !namesOrphans(error)
    if (!isIdle || line.stateDir !== null || (startFile !== null && existsSync(startFile))) throw error
    throw notRunning(`${missing(place)}. Name it: shiftwork ${line.command} path/to/start.ts`, error.facts)
  }
}

function missing({ startFile, directory }: StartPlace): string {
  return startFile === null ? `There is no start file in ${directory}` : `There is no ${startFile}`
}

/** Nothing is known of it: neither a start file nor a master is in it. */
function withoutStartFile({ directory }: StartPlace, { command }: CommandLine): ShiftworkError {
  return new ShiftworkError('ERR_USAGE', `${directory} is a directory, and there is no start file in it`, {
    hint: `Name the file: shiftwork ${command} ${directory}/server.js. ${LOOKED_FOR}`,
  })
}

/** @throws ShiftworkError where there is none to be evaluated. */
function assertStartFile(place: StartPlace, line: CommandLine): asserts place is StartPlace & { startFile: string } {
  if (place.startFile === null && place.isNamed) throw withoutStartFile(place, line)
  if (place.startFile !== null && existsSync(place.startFile)) return
  throw new ShiftworkError('ERR_USAGE', missing(place), {
    hint: `Name it: shiftwork start path/to/start.ts. ${LOOKED_FOR}`,
  })
}

function withoutFile(argv: readonly string[], file: string | null): string[] {
  const at = file === null ? -1 : argv.lastIndexOf(file)
  return argv.filter((_, index) => index !== at)
}

/** Runs the start file in this process: its `runAll` reads the words again and does the rest. */
async function evaluate(startFile: string, argv: readonly string[], json: boolean): Promise<void> {
  const args = loaderArgs(process.execArgv, process.cwd())
  const loader = missingLoader(startFile, args, process.env['NODE_OPTIONS'])
  process.execArgv = loader === null ? args : [...args, '--import', loader]
  process.argv = [process.argv[0] ?? process.execPath, startFile, ...argv]
  if (loader !== null) await import(loader)
  if (json) keepStdoutPure()
  process.once('beforeExit', () => void end(printError(neverRan(startFile), json), { isToldToEnd: false }))
  const syntax = watchSyntax()
  try {
    await import(pathToFileURL(startFile).href)
  } catch (cause) {
    const place = syntax.locate(cause)
    const lines = [`Cannot run ${startFile}`, ...(place === null ? [] : [place]), describeError(cause).stack]
    const details = { hint: 'Nothing was started, and what runs was left alone.', cause }
    throw new ShiftworkError('ERR_START_FILE', lines.join('\n'), details)
  } finally {
    syntax.end()
  }
}

/** `runAll` ends its process itself: one that runs dry has never called it. */
function neverRan(startFile: string): ShiftworkError {
  return new ShiftworkError('ERR_START_FILE', `${startFile} ended without a call of Worker.runAll()`, {
    hint: 'It belongs at the end of a start file.',
  })
}

await main(process.argv.slice(2))
