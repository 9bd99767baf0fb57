import pg from 'pg'
import { codeOf, messageOf, WaybillError } from '../core/errors.js'
import { assertRowsSeen } from '../db/hidden-tables.js'
import { assertSchema } from '../db/migrate.js'
import { createPool } from '../db/pool.js'
import { isConnectionError } from '../db/sqlstate.js'

export interface ConnectOptions {
  readonly connectionString: string
  /** Connections at most. */
  readonly max: number
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
}

/**
 * A pool that has connected once, so that a wrong address is told at once and in words.
 * @throws WaybillError WAYBILL_DATABASE_UNREACHABLE
 */
export async function connectPool(options: ConnectOptions): Promise<pg.Pool> {
  const pool = createPool(options)
  try {
    const client = await pool.connect()
    client.release()
    return pool
  } catch (error) {
    await pool.end()
    throw asUnreachable(error, options.connectionString)
  }
}

/**
 * The schema is there, this version may use it, and this user is shown all of it.
 * @throws WaybillError WAYBILL_SCHEMA_MISSING, WAYBILL_SCHEMA_NEWER, WAYBILL_ROWS_HIDDEN
 */
export async function requireSchema(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await assertSchema(client)
    await assertRowsSeen(client)
  } finally {
    client.release()
  }
}

// invalid_authorization_specification, invalid_password, invalid_catalog_name; insufficient_privilege is CONNECT's
const refusals = new Set(['28000', '28P01', '3D000', '42501'])

/** What a failed connect means, with the address and without the password. Other errors are given back as they are. */
export function asUnreachable(error: unknown, connectionString: string): unknown {
  const code = codeOf(error)
  const refused = code !== undefined && refusals.has(code)
  if (!refused && !isConnectionError(error)) return error
  const { host, port, database = '' } = new pg.Client({ connectionString })
  const why = refused ? `${messageOf(error)}, ${code}` : (code ?? messageOf(error))
  const remedy = refused
    ? 'check the user, the password and the name of the database in its URL'
    : 'check the address in its URL (WAYBILL_DATABASE_URL, or database.url), and that the server takes connections'
  return new WaybillError(
    'WAYBILL_DATABASE_UNREACHABLE',
    `no connection to database "${database}" at ${host}:${port} (${why}); ${remedy}`,
    { cause: error },
  )
}
