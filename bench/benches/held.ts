import pg from 'pg'
import { fillLog } from '../lib/database.js'
import { databaseSide } from '../lib/round.js'
import { type Bench } from '../lib/types.js'

/** A transaction that stays open: autovacuum can't clean up behind it, and every snapshot names it. */
export const held: Bench = {
  name: 'held',
  unit: 'messages/s',
  about:
    'draining 600,000 messages while another session holds a transaction with an xid and a snapshot, against without',
  rounds: 5,
  goals: [{ side: 'waybill', than: 'unheld', least: 0.9 }],
  async sides(context) {
    const messages = context.options.messages ?? 600_000
    const common = {
      side: 'drain-waybill',
      schema: true,
      fill: (database: Parameters<typeof fillLog>[0]) => fillLog(database, messages),
      input: () => ({ messages }),
    }
    return [
      databaseSide(context, {
        ...common,
        name: 'waybill',
        beside: async ({ url }) => {
          const holder = new pg.Client({ connectionString: url })
          holder.on('error', () => undefined)
          await holder.connect()
          await holder.query('begin isolation level repeatable read')
          await holder.query('select pg_current_xact_id(), count(*) from pg_class')
          return () => holder.end()
        },
      }),
      databaseSide(context, { ...common, name: 'unheld' }),
    ]
  },
}
