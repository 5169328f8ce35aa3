/** A self-signed certificate for the tests of TLS. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Project } from './project.ts'

/** Writes `key.pem` and `cert.pem` into the project. */
export function makeCertificate(project: Project): void {
  const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const files = ['-keyout', join(project.dir, 'key.pem'), '-out', join(project.dir, 'cert.pem')]
  execFileSync('openssl', [...args.split(' '), ...files], { stdio: 'pipe' })
}
