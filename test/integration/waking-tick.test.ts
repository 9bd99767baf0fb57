import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { isVisibleIn, parseSnapshot } from '../../src/outbox/snapshot.js'
import { createTestDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { patienceMs, waitFor } from '../support/wait-for.js'

// What a statement's columns do lies microseconds apart. Here the look at the sequence waits for an advisory lock.
const gated = `
  create schema gate;
  create function gate.pg_sequence_last_value(sequence regclass) returns bigint
  language plpgsql volatile as $$
  begin
    perform pg_advisory_xact_lock_shared(4711);
    return pg_catalog.pg_sequence_last_value(sequence);
  end $$`

describe.each(['pg18', 'pg15'] as const)('a ticker on %s', (server) => {
  it('finds what drew its transaction and its seq while a tick looked at the sequence, and commits after', async () => {
    const { name, pool, url } = await createTestDatabase({ server })
    await pool.query(gated)
    await pool.query(`alter database ${name} set search_path = gate, pg_catalog`)
    const gatedPool = new pg.Pool({ connectionString: url })
    const ticker = new Ticker(gatedPool, systemClock)
    const [locker, publisher] = [await pool.connect(), await pool.connect()]
    try {
      await locker.query('select pg_advisory_lock(4711)')
      const taking = ticker.fresh()
      await waitFor(
        async () => {
          const { rowCount } = await pool.query(
            `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`,
          )
          return rowCount === 1
        },
        { what: 'the tick at the gate' },
      )
      await publisher.query('begin')
      await publish(publisher, 'order.created', {})
      const { rows } = await publisher.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
      const xid = rows[0]?.xid as string
      await locker.query('select pg_advisory_unlock(4711)')
      let latest = await taking
      await publisher.query('commit')
      ticker.start()
      const signal = AbortSignal.timeout(patienceMs)
      // nothing else is published: it must be found for its own sake
      while (!isVisibleIn(xid, parseSnapshot(latest.snapshot))) latest = await ticker.next(latest.number, signal)
      expect(isVisibleIn(xid, parseSnapshot(latest.snapshot))).toBe(true)
    } finally {
      await ticker.stop()
      await gatedPool.end()
      locker.release(true)
      publisher.release(true)
    }
  })
})
