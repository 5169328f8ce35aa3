/** The system's limits on watching, and what a person can do about them. Pure. */
import { systemCode } from '../../errors.ts'

/** What to do when the system gives no more watches (inotify(7)). */
const LIMITS: Record<string, string | undefined> = {
  ENOSPC: 'too many watched files: raise the limit (sysctl fs.inotify.max_user_watches=524288)',
  EMFILE: 'too many watching programs: raise the limit (sysctl fs.inotify.max_user_instances=512, or ulimit -n)',
  ENFILE: 'the system has too many open files: raise the limit (sysctl fs.file-max)',
}

/** What to do about this error, as half a sentence; null: it is no limit. */
export function limitOf(error: unknown): string | null {
  return LIMITS[systemCode(error) ?? ''] ?? null
}
