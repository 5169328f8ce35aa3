/**
 * `shiftwork <command> [start file]`. Only `start` and `restart` evaluate the start file, by running
 * it as if it had been typed; every other command works also when it is broken.
 */
import { existsSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ShiftworkError } from '../errors.ts'
import { COMMANDS, type ExitCode } from '../ipc/commands.ts'
import { absoluteStartFile, loaderArgs } from '../os/startfile.ts'
import { chooseStateDir, runAsking } from './main.ts'
import { type CommandLine, parseCommandLine, type Usage, wantsJson } from './parse.ts'
import { printError, surviveLostOutput } from './terminal.ts'

const DEFAULT_FILES = ['start.ts', 'start.mts', 'start.js', 'start.mjs', 'start.cjs', 'dist/start.js']
const SCRIPT = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'])
const USAGE: Usage = { program: 'shiftwork', takesStartFile: true }

async function main(argv: readonly string[]): Promise<ExitCode | null> {
  surviveLostOutput()
  try {
    const line = await parseCommandLine(argv, USAGE)
    if (line.command === 'help' || line.command === 'version')
      return await runAsking(line, chooseStateDir(line, '/'), USAGE)
    const startFile = takeStartFile(line)
    if (COMMANDS[line.command].readsStartFile) {
      await evaluate(startFile, withoutFile(argv, line))
      return null
    }
    return await runAsking(line, chooseStateDir(line, startFile ?? resolve('start.ts')), USAGE)
  } catch (error) {
    return printError(error, wantsJson(argv))
  }
}

/** The first name, if it is a file; what is left are names of workers. */
function takeStartFile(line: CommandLine): string | null {
  const [first] = line.names
  const isFile = first !== undefined && (SCRIPT.has(extname(first)) || existsSync(resolve(first)))
  const rest = isFile ? line.names.slice(1) : line.names
  if (rest.length > 0 && line.command !== 'reload')
    throw new ShiftworkError('ERR_USAGE', `"${line.command}" takes no "${rest[0]}"`, {
      hint: `A start file has an ending: shiftwork ${line.command} ${rest[0]}.ts`,
    })
  const file = isFile ? first : DEFAULT_FILES.find((name) => existsSync(resolve(name)))
  line.names = rest
  return file === undefined ? null : absoluteStartFile(file, process.cwd(), process.env['PWD'])
}

function withoutFile(argv: readonly string[], line: CommandLine): string[] {
  return argv.filter(
    (word) => word === line.command || word.startsWith('-') || !existsSync(resolve(word)) || word === line.stateDir,
  )
}

/** Runs the start file in this process: its `runAll` reads the words again and does the rest. */
async function evaluate(startFile: string | null, argv: readonly string[]): Promise<void> {
  if (startFile === null || !existsSync(startFile))
    throw new ShiftworkError('ERR_USAGE', startFile === null ? 'No start file was given' : `There is no ${startFile}`, {
      hint: `Name it: shiftwork start path/to/start.ts. Without a name it is one of ${DEFAULT_FILES.join(', ')}.`,
    })
  const args = loaderArgs(startFile, process.execArgv, process.cwd())
  const loader = args.slice(process.execArgv.length)
  process.execArgv = args
  process.argv = [process.argv[0] ?? process.execPath, startFile, ...argv]
  if (loader[1] !== undefined) await import(loader[1])
  try {
    await import(pathToFileURL(startFile).href)
  } catch (cause) {
    throw new ShiftworkError('ERR_START_FILE', `Cannot run ${startFile}`, { hint: 'Nothing was changed.', cause })
  }
}

const code = await main(process.argv.slice(2))
if (code !== null) process.exit(code)
