/** The public names of the package. */
export { Worker, type WorkerOptions } from './api.ts'
export { type ErrorCode, ShiftworkError } from './errors.ts'
export type { RequestListener } from './hooks.ts'
export type { GroupStatus, ProcessStatus, ReloadSummary, Status, StopReason } from './ipc/messages.ts'
export type { Connection, Sendable } from './protocols/connection.ts'
export type { HttpRequest } from './protocols/http-request.ts'
export type { RunOptions } from './run-all.ts'
