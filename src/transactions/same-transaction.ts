import { WaybillError } from '../core/errors.js'
import type { Statement, RunStatement } from '../core/statement.js'
import { notOpen } from './kind.js'

/**
 * For handles that can't be asked whether their transaction is still open. Used after its end, such a handle would run a
 * statement in a transaction of its own, or in somebody else's. So PostgreSQL is asked: the first publish on a handle
 * gets the id of its transaction in a statement before, and each publish writes only where it runs under that same id.
 * Outside a transaction each statement has an id of its own, so nothing is written.
 * Cost: one statement for each handle (a tenth of a millisecond and a round trip), none for later publishes on it.
 */
export function inSameTransaction(handle: object, run: RunStatement, options: SameTransactionOptions): RunStatement {
  return async (statement) => {
    const known = transactions.get(handle)
    const rows = await run(onlyIn(await (known ?? look(handle, run)), statement))
    if (rows.length > 0) return rows
    if (known !== undefined && options.reusable) {
      const again = await run(onlyIn(await look(handle, run), statement))
      if (again.length > 0) return again
    }
    throw notOpen('runs its statements in different transactions: it has ended, or never was one', options.remedy)
  }
}

export interface SameTransactionOptions {
  /** True when one object may stand for one transaction after another. */
  readonly reusable: boolean
  /** What to give instead. */
  readonly remedy: string
}

/** Ids of the transactions of handles; with savepoints several handles have the same. */
const transactions = new WeakMap<object, Promise<string>>()

function look(handle: object, run: RunStatement): Promise<string> {
  const id = askId(run)
  transactions.set(handle, id)
  id.catch(() => transactions.delete(handle))
  return id
}

async function askId(run: RunStatement): Promise<string> {
  const rows = await run({ name: 'waybill_transaction', text: 'select pg_current_xact_id()::text as xid', values: [] })
  const { xid } = (rows[0] ?? {}) as { xid?: unknown }
  if (typeof xid === 'string') return xid
  throw new WaybillError(
    'WAYBILL_TX_INVALID',
    'tx: its query(sql, parameters) gave no row; it must resolve to an array of objects, or to { rows } of them. Nothing was written',
  )
}

/** Only assigned ids count: publishing assigns one, and outside a transaction none is assigned before it. */
function onlyIn(id: string, { name, text, values }: Statement): Statement {
  const where = `where pg_current_xact_id_if_assigned() = $${values.length + 1}::text::xid8`
  return { name: `${name}_in`, text: `${text} ${where}`, values: [...values, id] }
}
