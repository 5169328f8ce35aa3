/**
 * The words of the command line in one table: what each does, whether it reads the start file, and
 * the exit codes that all of them share. Read by the command line (yargs, help) and by the master
 * (which requests its control socket takes).
 */

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  noAnswer: 4,
  rejected: 5,
  mixed: 6,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

interface CommandRow {
  readonly describe: string
  /** `bin/shiftwork` evaluates the start file for these alone. */
  readonly readsStartFile: boolean
  /** The master answers it on its control socket. */
  readonly onWire: boolean
  /** What may follow it, for the help; none: nothing but a start file. */
  readonly takes?: string
}

export const COMMANDS = {
  start: { describe: 'start the workers, in the foreground or as a daemon (-d)', readsStartFile: true, onWire: false },
  stop: { describe: 'stop gracefully; done when every process is gone', readsStartFile: false, onWire: true },
  restart: { describe: 'stop, then start again in the former mode', readsStartFile: true, onWire: false },
  reload: {
    describe: 'replace the workers by new ones that run the new code',
    readsStartFile: false,
    onWire: true,
    takes: 'name..',
  },
  scale: { describe: 'run more or fewer workers', readsStartFile: false, onWire: true, takes: 'name=count..' },
  status: { describe: 'show every group and every process', readsStartFile: false, onWire: true },
  connections: {
    describe: 'show every open connection of every worker',
    readsStartFile: false,
    onWire: true,
    takes: 'name..',
  },
  logs: { describe: "show the runtime's log", readsStartFile: false, onWire: false },
  version: { describe: 'show the versions of Shiftwork and Node.js', readsStartFile: false, onWire: false },
  help: { describe: 'show this help', readsStartFile: false, onWire: false },
} as const satisfies Record<string, CommandRow>

export type CommandName = keyof typeof COMMANDS
export const COMMAND_NAMES = Object.keys(COMMANDS) as CommandName[]

/** True for the commands that words may follow. */
export function takesWords(name: CommandName): boolean {
  const row: CommandRow = COMMANDS[name]
  return row.takes !== undefined
}

/** The commands that travel to the master. */
export type WireCommand = { [K in CommandName]: (typeof COMMANDS)[K]['onWire'] extends true ? K : never }[CommandName]
