/**
 * Where a syntax error is. Node.js prints file and line of one in an ES module but leaves them out of
 * its stack; V8's debugger protocol names the file that did not parse, and `node --check` the line.
 * Watching costs some 20 ms, so the bootstrap does it only in the second try of a failed start.
 */
import { spawnSync } from 'node:child_process'
import { Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

/** @returns a function that gives `file:line`, the line and a mark below it, for a syntax error without them. */
export function watchSyntax(): (error: unknown) => string | null {
  const failed: string[] = []
  const session = new Session()
  session.connect()
  session.on('Debugger.scriptFailedToParse', ({ params }) => failed.push(params.url))
  session.post('Debugger.enable')
  return (error) => {
    const url = failed.findLast((candidate) => candidate.startsWith('file:'))
    if (url === undefined || !(error instanceof SyntaxError)) return null
    const path = fileURLToPath(url)
    if (error.stack?.includes(path)) return null
    const check = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8', timeout: 5_000 })
    return check.stderr?.split(/\n\n?\w*Error:/)[0]?.trimEnd() || path
  }
}
