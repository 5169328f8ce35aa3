/**
 * Tells that the master itself runs out of file descriptors: it could start no worker then, and hear
 * no command, and nobody would know why. Watched from the master's main; it changes nothing.
 */
import type { Log } from '../log.ts'
import { Descriptors } from '../os/descriptors.ts'
import { outOfDescriptors } from '../words.ts'

const LOOK_MS = 1_000

export interface DescriptorWatch {
  /** For `status`: a sentence while it is so. */
  warnings(): string[]
  close(): void
}

/** Begins to watch this process; where its limit is not known, nothing is. */
export function watchDescriptors(
  log: Pick<Log, 'warn' | 'info'>,
  descriptors: Pick<Descriptors, 'fullAt' | 'roomAt' | 'look'> | null = Descriptors.own(),
): DescriptorWatch {
  if (!descriptors) return { warnings: () => [], close: () => undefined }
  let warning: string | null = null
  const look = (): void => {
    const use = descriptors.look()
    if (warning === null && use.used >= descriptors.fullAt) {
      warning = `the master ${outOfDescriptors(use)}: it may fail to start a worker, or to hear a command`
      log.warn(warning)
    } else if (warning !== null && use.used <= descriptors.roomAt) {
      warning = null
      log.info(`the master has file descriptors again (${use.used} of ${use.limit} in use)`)
    }
  }
  const timer = setInterval(look, LOOK_MS).unref()
  return { warnings: () => (warning === null ? [] : [warning]), close: () => clearInterval(timer) }
}
