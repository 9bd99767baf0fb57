import type pg from 'pg'
import type { Adapter, DeliveryFailure, Outcome, TransactionalAdapter } from '../../adapters/contract.js'
import { codeOf, messageOf } from '../../core/errors.js'
import { isConnectionError } from '../../db/sqlstate.js'
import { inTransaction } from '../../db/transaction.js'
import type { Queryable } from '../../outbox/lane-store.js'
import type { Entry } from './window.js'

type Settle = (entry: Entry, outcome: Outcome) => void

/** Hands a batch to an adapter. Each entry is settled at most once; a late second answer is not listened to. */
export function sendBatch(
  adapter: Adapter,
  batch: readonly Entry[],
  { signal, settle }: { readonly signal: AbortSignal; readonly settle: Settle },
): Promise<void> {
  return adapter.deliver(
    batch.map((entry) => entry.message),
    {
      signal,
      settle: (index, outcome) => {
        const entry = batch[index]
        if (entry?.state === 'sending') settle(entry, outcome)
      },
    },
  )
}

/** The adapter's own statements failed, and nothing was settled yet. */
class Refused extends Error {
  readonly failure: DeliveryFailure

  constructor(kind: string, sqlstate: string, cause: unknown) {
    super('the database refused what the adapter wrote', { cause })
    // a data exception (class 22) quotes what it did not like
    const words = sqlstate.startsWith('22') ? 'the value was refused' : messageOf(cause)
    this.failure = { code: `${kind.toUpperCase()}_REFUSED`, message: `SQLSTATE ${sqlstate}: ${words}` }
  }
}

/**
 * Exactly once: what the adapter writes, the position and the parked rows are one transaction. Memory runs ahead of the
 * commit; when the commit fails the lane ends, and memory with it. Where the database refuses what the adapter writes,
 * that is an outage of the destination (or a message that looks like one). Resolves to what to do once it is committed.
 */
export async function sendInTransaction({
  adapter,
  pool,
  batch,
  settle,
  write,
}: {
  readonly adapter: TransactionalAdapter
  readonly pool: pg.Pool
  readonly batch: readonly Entry[]
  readonly settle: Settle
  /** Writes position and parked rows. */
  readonly write: (db: Queryable) => Promise<() => void>
}): Promise<() => void> {
  const settleAll = (outcomes: readonly Outcome[]): void =>
    outcomes.forEach((outcome, index) => {
      const entry = batch[index]
      if (entry?.state === 'sending') settle(entry, outcome)
    })
  try {
    return await inTransaction(pool, async (tx) => {
      settleAll(await deliverIn(adapter, tx, batch))
      return write(tx)
    })
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const { failure } = error
    settleAll(batch.map(() => ({ kind: 'pause', failure })))
    return () => undefined
  }
}

async function deliverIn(
  adapter: TransactionalAdapter,
  tx: pg.PoolClient,
  batch: readonly Entry[],
): Promise<readonly Outcome[]> {
  try {
    return await adapter.deliverIn(
      { query: (text, values) => tx.query(text, values as unknown[]) },
      batch.map((entry) => entry.message),
    )
  } catch (error) {
    const code = codeOf(error)
    const refused = code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !isConnectionError(error)
    throw refused ? new Refused(adapter.kind, code, error) : error
  }
}
