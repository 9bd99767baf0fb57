import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { SteadyClient } from '../../db/steady-client.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { asUnreachable } from '../../db/unreachable.js'
import { type Check, error, type Finding, ok, warn } from './finding.js'

/** How long a notification may take. */
const patienceMs = 3000

/** The same database, and one answer for each server: what tells two URLs apart. */
const identitySql = `select (select system_identifier::text from pg_control_system()) || ' ' || current_database() as identity`

/**
 * Whether a notification that is sent through the ordinary URL arrives at a session that listens on the direct one: a
 * pooler in transaction mode takes LISTEN and never delivers. Both must be one database, too.
 */
export const notificationsCheck: Check = {
  name: 'notifications',
  needsSchema: false,
  async run({ pool, config }) {
    if (!config.dispatcher.listen) return [ok('dispatchers do not listen (dispatcher.listen is false): they poll')]
    const connectionString = (config.database.directUrl ?? config.database.url).reveal()
    const client = new SteadyClient({
      connectionString,
      connectionTimeoutMillis: 10_000,
      application_name: 'waybill doctor',
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await roundTrip(pool, client)
    } catch (thrown) {
      const failure = asUnreachable(thrown, connectionString)
      if (failure === thrown) throw thrown
      return [
        error(
          `the direct URL: ${(failure as Error).message}`,
          'dispatchers poll once a second in place of being woken',
          'mend database.directUrl (WAYBILL_DIRECT_URL)',
        ),
      ]
    } finally {
      await client.end().catch(() => undefined)
    }
  },
}

async function roundTrip(pool: pg.Pool, client: pg.Client): Promise<Omit<Finding, 'check'>[]> {
  const [here, there] = [await identity(pool), await identity(client)]
  if (here !== undefined && there !== undefined && here !== there) {
    return [
      error(
        'database.url and database.directUrl are two databases',
        'publishers of the one wake nobody, and migrations go to the other',
        'let both name one database',
      ),
    ]
  }
  const channel = `waybill_doctor_${randomBytes(8).toString('hex')}`
  const abort = new AbortController()
  const heard = new Promise<true>((resolve) => {
    client.on('notification', (notification) => {
      if (notification.channel === channel) resolve(true)
    })
  })
  await client.query(`listen ${channel}`)
  const started = performance.now()
  await pool.query(`select pg_notify($1, 'hello')`, [channel])
  const silence = sleep(patienceMs, false as const, { signal: abort.signal }).catch(() => false as const)
  const arrived = await Promise.race([heard, silence])
  abort.abort()
  if (arrived) return [ok(`a notification took ${Math.round(performance.now() - started)} ms`)]
  return [
    warn(
      `no notification arrived within ${patienceMs} ms`,
      'a pooler eats them: dispatchers poll once a second in place of being woken',
      'set database.directUrl (WAYBILL_DIRECT_URL) to the server itself, past the pooler, or dispatcher.listen to false',
    ),
  ]
}

/** Undefined where this user may not know. */
async function identity(db: pg.Pool | pg.Client): Promise<string | undefined> {
  try {
    const { rows } = await db.query<{ identity: string }>(identitySql)
    return rows[0]?.identity
  } catch {
    // pg_control_system is for superusers and pg_monitor on some servers
    return undefined
  }
}
