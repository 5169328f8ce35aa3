/**
 * Whether this process was started with nohup(1). Node.js makes an ignored SIGHUP a deadly one again before any
 * code runs (PlatformInit in its node.cc), so that the signal itself does not tell: what nohup leaves behind does.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

const ACCESS_MODE = 0o3
const WRITE_ONLY = 0o1

/** By the shell's own word (`_` in bash, ksh and zsh), or by a standard input that can only be written to (GNU). */
export function isUnderNohup(): boolean {
  return basename(process.env['_'] ?? '') === 'nohup' || isInputUnreadable()
}

function isInputUnreadable(): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & ACCESS_MODE) === WRITE_ONLY
  } catch {
    // not Linux, or closed
    return false
  }
}
