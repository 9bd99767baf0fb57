import { join } from 'node:path'
import pg from 'pg'
import { pickPort } from './ports.js'
import { run, spawnDaemon } from './processes.js'
import { giveTo, serviceIdentity } from './users.js'
import type { NewState, ServiceName, ServiceState, StartContext } from './types.js'

/**
 * The same for both versions. Durability stays on (fsync, synchronous_commit): benchmarks and crash tests
 * rest on it. `wal_level=logical` is for comparisons with change data capture.
 */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '300',
  shared_buffers: '256MB',
  wal_level: 'logical',
  max_prepared_transactions: '20',
  max_wal_senders: '10',
  max_replication_slots: '10',
}

export async function startPostgres(
  name: ServiceName,
  context: StartContext,
  options: { readonly bin: string; readonly standardPort: number },
): Promise<NewState> {
  const identity = await serviceIdentity('postgres')
  const data = join(context.directory, 'data')
  await giveTo(identity, context.directory)
  await run(
    join(options.bin, 'initdb'),
    // No locale: the same order of texts on every machine.
    ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-instructions'],
    { as: identity, cwd: context.directory },
  )
  const port = await pickPort(options.standardPort)
  const flags = Object.entries({ ...settings, port }).flatMap(([key, value]) => ['-c', `${key}=${value}`])
  const pid = spawnDaemon(join(options.bin, 'postgres'), ['-D', data, ...flags], {
    as: identity,
    cwd: context.directory,
    logFile: context.logFile,
  })
  return { name, pid, ...postgresAddress(port), directory: context.directory, logFile: context.logFile }
}

export function postgresAddress(port: number): Pick<NewState, 'url' | 'ports'> {
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, ports: { sql: port } }
}

export async function probePostgres(state: ServiceState): Promise<string> {
  const client = new pg.Client({ connectionString: state.url, connectionTimeoutMillis: 3000, query_timeout: 3000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ version: string }>(`select current_setting('server_version') as version`)
    return `PostgreSQL ${rows[0]?.version ?? 'unknown'}`
  } finally {
    await client.end().catch(() => undefined)
  }
}
