/**
 * Where a syntax error is. Node.js prints file and line of one in an ES module but leaves them out of
 * its stack; V8's debugger protocol names the file that did not parse, and `node --check` the line.
 * Watching costs some 20 ms: workers do it only in the second try of a failed start, the command
 * line while it evaluates a start file.
 */
import { spawnSync } from 'node:child_process'
import { Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

export interface SyntaxWatch {
  /** `file:line`, the line and a mark below it, for a syntax error whose stack has none of them; else null. */
  locate(error: unknown): string | null
  end(): void
}

/** Notes every file that does not parse, from now on. */
export function watchSyntax(): SyntaxWatch {
  const failed: string[] = []
  const session = new Session()
  session.connect()
  session.on('Debugger.scriptFailedToParse', ({ params }) => failed.push(params.url))
  session.post('Debugger.enable')
  return {
    locate: (error) => {
      const url = failed.findLast((candidate) => candidate.startsWith('file:'))
      if (url === undefined || !(error instanceof SyntaxError)) return null
      const path = fileURLToPath(url)
      if (error.stack?.includes(path)) return null
      const check = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8', timeout: 5_000 })
      return check.stderr?.split(/\n\n?\w*Error:/)[0]?.trimEnd() || path
    },
    end: () => session.disconnect(),
  }
}
