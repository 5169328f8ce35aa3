/** The public names of the package. */
export { type HealthCheckOption, type HealthFunction, Worker, type WorkerOptions } from './api.ts'
export { type ErrorCode, ShiftworkError } from './errors.ts'
export type { StopReason } from './ipc/messages.ts'
export type { GroupStatus, ProcessStatus, ReloadSummary, Status } from './ipc/status.ts'
export type { Connection, Sendable } from './protocols/connection.ts'
export type { RequestListener } from './protocols/hooks.ts'
export type { HttpRequest } from './protocols/http-request.ts'
export type { RunOptions } from './spec/settings.ts'
