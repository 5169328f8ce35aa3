/** Business code: what the server answers. A reload brings its changes; who is connected is asked to come back. */
import type { Connection } from 'shiftwork'

type Command = (connection: Connection<string>, words: string) => unknown

const COMMANDS: Record<string, Command> = {
  help: (connection) => connection.send(`say ${Object.keys(COMMANDS).join(', ')}`),
  who: (connection) => connection.send(`hello from ${process.pid}, you are ${connection.remoteAddress}`),
  echo: (connection, words) => connection.send(words),
  /** The next line waits until this one is answered. */
  sleep: async (connection, words) => {
    await new Promise((resolve) => setTimeout(resolve, Math.min(Number(words) || 1, 10) * 1_000))
    connection.send('good morning')
  },
  quit: (connection) => connection.close('goodbye'),
}

export function answer(connection: Connection<string>, line: string): unknown {
  const [word = '', ...words] = line.trim().split(' ')
  if (!Object.hasOwn(COMMANDS, word)) return connection.send(`no such thing as "${word}", say help`)
  return COMMANDS[word]?.(connection, words.join(' '))
}
