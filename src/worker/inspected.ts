/** Whether somebody may hold this process in a debugger. Asked by `run` for each sign of life. */

/** An inspector is open, by an option of Node.js or by user code; a Node.js built without one has none. */
export function isInspected(): boolean {
  if (!process.features.inspector) return false
  return process.getBuiltinModule('node:inspector').url() !== undefined
}
