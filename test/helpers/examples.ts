/** The examples, each in a project of its own where it may be changed, and the ways in which people run them. */
import { readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Flavour, Project, REPOSITORY } from './project.ts'

export const EXAMPLES = join(REPOSITORY, 'examples')
/** Node.js 22.18 and later read TypeScript by themselves. */
const stripsTypes = 'typescript' in process.features && Boolean(process.features.typescript)
export const FLAVOURS: Flavour[] = stripsTypes ? ['tsx', 'strip'] : ['tsx', 'tsx-import']
export const ANY_PORT = { PORT: '0', EVENTS_PORT: '0', CHAT_PORT: '0', PROXY_PORT: '0', GATEWAY_PORT: '0' }
const PACKAGES = ['express', 'fastify']

/** The example as it is in the repository. */
export function copyOf(name: string): Project {
  const folder = join(EXAMPLES, name)
  const sources = readdirSync(folder).filter((file) => file.endsWith('.ts'))
  const files = Object.fromEntries(sources.map((file) => [file, readFileSync(join(folder, file), 'utf8')]))
  const project = Project.create(files, { startFile: 'start.ts' })
  for (const used of PACKAGES)
    symlinkSync(join(REPOSITORY, 'node_modules', used), join(project.dir, 'node_modules', used))
  return project
}

/** Replaces a piece of the code, which must be there. */
export function change(project: Project, file: string, from: string, to: string): void {
  const text = project.read(file)
  expect(text).toContain(from)
  project.write(file, text.replaceAll(from, to))
}
