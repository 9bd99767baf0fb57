import { jobQueueAdapter } from '../../src/adapters/job-queue/index.js'
import { jobsSettings } from '../../src/config/destinations/jobs.js'
import { inTransaction } from '../../src/db/transaction.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { useDatabase } from '../support/database.js'
import { uniqueName, type PostgresServer } from '../support/services.js'
import { transactionalConformance } from './conformance.js'
import type { Received, TransactionalDestination } from './destination.js'

interface Row {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: Record<string, string> | null
}

function jobQueueOn(server: PostgresServer): void {
  const database = useDatabase({ server })

  function setup(): TransactionalDestination {
    const { pool } = database()
    const queue = uniqueName('q')
    return {
      makeAdapter: () =>
        jobQueueAdapter.create(jobsSettings.parse({ queue }), { destination: 'work', logger: silentLogger }),
      async received(): Promise<readonly Received[]> {
        const { rows } = await pool.query<Row>(
          `select message_id as id, name as topic, key, args::text as payload, headers
             from waybill.jobs where queue = $1 order by run_at`,
          [queue],
        )
        return rows.map(({ payload, headers, ...row }) => ({
          ...row,
          payload: Buffer.from(payload),
          headers: headers ?? {},
        }))
      },
      transaction: (work) => inTransaction(pool, work),
      cleanup: () => undefined,
    }
  }

  transactionalConformance(`job queue on ${server}`, setup, { topics: ['order.created', 'order.shipped'] })
}

jobQueueOn('pg18')
jobQueueOn('pg15')
