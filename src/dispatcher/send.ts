import type pg from 'pg'
import type { Adapter, Outcome, TransactionalAdapter } from '../adapters/contract.js'
import { inTransaction } from '../db/transaction.js'
import type { Queryable } from '../outbox/lane-store.js'
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

/**
 * Exactly once: what the adapter writes, the position and the parked rows are one transaction. Memory runs ahead of the
 * commit; when the commit fails the lane ends, and memory with it. Resolves to what to do once it is committed.
 */
export function sendInTransaction({
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
  return inTransaction(pool, async (tx) => {
    const outcomes = await adapter.deliverIn(
      { query: (text, values) => tx.query(text, values as unknown[]) },
      batch.map((entry) => entry.message),
    )
    outcomes.forEach((outcome, index) => {
      const entry = batch[index]
      if (entry?.state === 'sending') settle(entry, outcome)
    })
    return write(tx)
  })
}
