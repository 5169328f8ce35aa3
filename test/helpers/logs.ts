/** Logs in the tests: projects that write one, and the files that it was rotated into. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { app, webStart } from './apps.ts'
import { Project } from './project.ts'

/** A project whose `runAll` takes these options; `more` stands before it. */
export function loggingProject(options: Record<string, unknown> = {}, more = ''): Project {
  const start = webStart().replace('Worker.runAll()', `${more}\nWorker.runAll(${JSON.stringify(options)})`)
  return Project.create({ 'start.js': start, 'app.js': app('1') })
}

export function logFile(project: Project): string {
  return join(project.stateDir, 'shiftwork.log')
}

/** The texts of a log and of what it was rotated into, the oldest first, unpacked. */
export function rotated(directory: string, name: string): string[] {
  const age = (file: string): number => Number(/\.(\d+)(?:\.gz)?$/.exec(file)?.[1] ?? 0)
  return readdirSync(directory)
    .filter((file) => file === name || file.startsWith(`${name}.`))
    .sort((a, b) => age(b) - age(a))
    .map((file) => {
      const bytes = readFileSync(join(directory, file))
      return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
    })
}

/** 1, 2, … */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}
