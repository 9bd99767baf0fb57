import pg from 'pg'
import { beforeAll, inject } from 'vitest'
import { onFileEnd } from './cleanup.js'
import { serviceUrl, uniqueName, type PostgresServer } from './services.js'
import { databaseUrl } from './template.js'
import { withClient } from './with-client.js'

export interface TestDatabase {
  readonly server: PostgresServer
  readonly name: string
  readonly url: string
  /** The same database through PgBouncer in transaction mode. */
  readonly pgbouncerUrl: string
  readonly pool: pg.Pool
  drop(): Promise<void>
}

export interface TestDatabaseOptions {
  readonly server?: PostgresServer
  /** A database without Waybill's schema, for tests of the migrations themselves. */
  readonly empty?: boolean
}

/** A database of the caller's own, gone at the end of the test file (or kept: WAYBILL_KEEP_TEST_DB=1). */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = options.server ?? 'pg18'
  const serverAddress = serviceUrl(server)
  const template = options.empty === true ? 'template0' : inject('templates')[server]
  if (template === undefined) throw new Error(`no template database on ${server}: see test/global-setup.ts`)
  const name = uniqueName('waybill_test')
  await withClient(serverAddress, (admin) => admin.query(`create database ${name} template ${template}`))

  const url = databaseUrl(serverAddress, name)
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  // A fault test may cut these connections; an idle one must not take the test process down.
  pool.on('error', () => undefined)
  let dropped: Promise<void> | undefined
  const drop = () => (dropped ??= end(pool).then(() => dropDatabase(serverAddress, name)))
  onFileEnd(drop)
  return {
    server,
    name,
    url,
    get pgbouncerUrl() {
      return databaseUrl(serviceUrl(server === 'pg18' ? 'pgbouncer18' : 'pgbouncer15'), name)
    },
    pool,
    drop,
  }
}

/** For the top of a test file: one database for all of its tests. */
export function useDatabase(options: TestDatabaseOptions = {}): () => TestDatabase {
  let database: TestDatabase | undefined
  beforeAll(async () => {
    database = await createTestDatabase(options)
  })
  return () => {
    if (database === undefined) throw new Error('the database is there from beforeAll on, not while the file loads')
    return database
  }
}

async function end(pool: pg.Pool): Promise<void> {
  if (!pool.ended) await pool.end()
}

async function dropDatabase(serverAddress: string, name: string): Promise<void> {
  if (process.env['WAYBILL_KEEP_TEST_DB'] === '1') {
    console.log(`kept: ${databaseUrl(serverAddress, name)}`)
    return
  }
  const drop = () => withClient(serverAddress, (admin) => admin.query(`drop database if exists ${name} with (force)`))
  try {
    await drop()
  } catch {
    // FORCE ends sessions, but neither prepared transactions nor replication slots.
    await withClient(databaseUrl(serverAddress, name), releaseObstacles)
    await drop()
  }
}

async function releaseObstacles(client: pg.Client): Promise<void> {
  const prepared = await client.query<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = current_database()',
  )
  for (const { gid } of prepared.rows) await client.query(`rollback prepared ${client.escapeLiteral(gid)}`)
  const slots = 'from pg_replication_slots where database = current_database()'
  await client.query(`select pg_terminate_backend(active_pid) ${slots} and active`)
  await client.query(`select pg_drop_replication_slot(slot_name) ${slots}`)
}
