/** Who listens for uncaught exceptions to report them, and not to go on after them. */

type Listener = NodeJS.UncaughtExceptionListener & { _errorHandler?: unknown; tag?: unknown }

/**
 * Reporters of errors end the process only where nobody else listens, and we do: by the marks by which Sentry knows
 * its own listeners, and the one that Node.js has for domains (sentry-javascript, `onuncaughtexception.ts`).
 */
export function isReporter(listener: NodeJS.UncaughtExceptionListener): boolean {
  const { name, _errorHandler, tag } = listener as Listener
  return name === 'domainUncaughtExceptionClear' || _errorHandler === true || tag === 'sentry_tracingErrorCallback'
}
