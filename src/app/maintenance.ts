/** One pass of maintenance, for the command line. */
import type pg from 'pg'
import { assertSchema } from '../db/migrate.js'
import { maintainInbox, type InboxReport } from '../outbox/retention/index.js'

export { type MaintenanceReport, runMaintenance } from '../outbox/retention/index.js'
export { type InboxReport }

/**
 * Of the inbox alone, in a database that needs to have nothing else of Waybill. The pool must have two connections to give.
 * @throws WaybillError WAYBILL_SCHEMA_MISSING
 */
export async function runInboxMaintenance(pool: pg.Pool, signal: AbortSignal): Promise<InboxReport> {
  const client = await pool.connect()
  let failed = true
  try {
    await assertSchema(client, { only: 'inbox' })
    const report = await maintainInbox(pool, client, { signal })
    failed = false
    return report
  } finally {
    client.release(failed)
  }
}
