/** A process that becomes another user and group, and says who it is then. For the test of the users. */
import { dropPrivileges } from '../../../src/os/users.ts'

const [, , user = null, group = null] = process.argv
dropPrivileges(user, group)
process.stdout.write(JSON.stringify([process.getuid?.(), process.getgid?.(), process.getgroups?.()]))
