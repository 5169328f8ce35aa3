/** A process that prints one long JSON value and ends. For the test of the last words. */
import { outputTaken, printJson, surviveLostOutput } from '../../../src/cli/terminal.ts'

surviveLostOutput()
printJson('x'.repeat(Number(process.argv[2])))
await outputTaken({ isToldToEnd: process.argv[3] === 'told' })
process.exit(7)
