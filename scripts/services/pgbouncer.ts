import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pickPort } from './ports.js'
import { postgresAddress, probePostgres } from './postgres.js'
import { spawnDaemon } from './processes.js'
import { giveTo, serviceIdentity } from './users.js'
import type { Service, ServiceName } from './types.js'

/** What this PgBouncer and the one of docker-compose.yml have in common. */
const COMMON = new URL('pgbouncer-image/', import.meta.url)

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
      await copyFile(new URL('users.txt', COMMON), users)
      await writeFile(file, await configuration(port, upstream?.ports['sql'] ?? 5432, users))
      await giveTo(identity, directory, file, users)
      const pid = spawnDaemon('/usr/sbin/pgbouncer', [file], { as: identity, cwd: directory, logFile })
      return { name, pid, ...postgresAddress(port), directory, logFile }
    },
    probe: async (state) => `PgBouncer, transaction mode, to ${await probePostgres(state)}`,
  }
}

async function configuration(port: number, upstream: number, users: string): Promise<string> {
  return `${await readFile(new URL('pgbouncer.ini', COMMON), 'utf8')}
listen_addr = 127.0.0.1
listen_port = ${port}
auth_file = ${users}
[databases]
* = host=127.0.0.1 port=${upstream} auth_user=postgres
`
}
