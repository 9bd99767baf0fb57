import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pickPort } from './ports.js'
import { postgresAddress, probePostgres } from './postgres.js'
import { spawnDaemon } from './processes.js'
import { giveTo, serviceIdentity } from './users.js'
import type { Service, ServiceName } from './types.js'

interface Options {
  readonly name: ServiceName
  readonly after: ServiceName
  readonly variable: string
  readonly standardPort: number
}

/** PgBouncer in transaction mode in front of one server; it forwards every database of that server. */
export function pgbouncer({ name, after, variable, standardPort }: Options): Service {
  return {
    name,
    after,
    variable,
    needs: [{ label: 'PgBouncer', debianPackage: 'pgbouncer', program: '/usr/sbin/pgbouncer' }],
    readyWithinMs: 30_000,
    stopSignal: 'SIGINT',
    async start({ directory, logFile, upstream }) {
      const identity = await serviceIdentity('postgres')
      const port = await pickPort(standardPort)
      const file = join(directory, 'pgbouncer.ini')
      const users = join(directory, 'users.txt')
      await writeFile(users, '"postgres" ""\n')
      await writeFile(file, configuration(port, upstream?.ports['sql'] ?? 5432, users))
      await giveTo(identity, directory, file, users)
      const pid = spawnDaemon('/usr/sbin/pgbouncer', [file], { as: identity, cwd: directory, logFile })
      return { name, pid, ...postgresAddress(port), directory, logFile }
    },
    probe: async (state) => `PgBouncer, transaction mode, to ${await probePostgres(state)}`,
  }
}

function configuration(port: number, upstream: number, users: string): string {
  return `[databases]
* = host=127.0.0.1 port=${upstream} auth_user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pool_mode = transaction
auth_type = trust
auth_file = ${users}
; every role of the server may log in, so that tests can connect as the roles that migrations create
auth_query = SELECT rolname, '' FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin
max_client_conn = 1000
default_pool_size = 20
; test databases come and go: let go of them soon
server_idle_timeout = 10
autodb_idle_timeout = 30
`
}
