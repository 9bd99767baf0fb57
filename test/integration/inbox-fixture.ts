import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { TestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'

/** A connection with a transaction open, ended when the test is. */
export async function begun(database: Pick<TestDatabase, 'url'>, isolation = 'read committed'): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  onTestFinished(() => client.end())
  await client.query(`begin isolation level ${isolation}`)
  return client
}

/** `waybill.inbox_claim`, as SQL. */
export async function claim(
  client: pg.Client | pg.Pool | pg.PoolClient,
  consumer: string,
  id: string,
  onBusy?: string,
): Promise<boolean | null> {
  const { rows } = await client.query<{ first: boolean | null }>(
    onBusy === undefined
      ? 'select waybill.inbox_claim($1, $2) as first'
      : 'select waybill.inbox_claim($1, $2, on_busy => $3) as first',
    onBusy === undefined ? [consumer, id] : [consumer, id, onBusy],
  )
  return rows[0]?.first ?? null
}

/** Resolves when `waiter` waits for `holder` to end. */
export async function untilBlocked(database: TestDatabase, waiter: pg.Client, holder: pg.Client): Promise<void> {
  const pid = (client: pg.Client): unknown => (client as unknown as { processID: number }).processID
  await waitFor(
    async () => {
      const { rows } = await database.pool.query<{ blocked: boolean }>(
        'select $2::int = any(pg_blocking_pids($1::int)) as blocked',
        [pid(waiter), pid(holder)],
      )
      return rows[0]?.blocked
    },
    { what: 'one transaction waits for the other' },
  )
}

export interface Pass {
  readonly ran: boolean
  readonly generation: number
  readonly changing: boolean
  readonly made: string[]
  readonly dropped: string[]
  readonly expired: string[]
}

export async function maintain(database: TestDatabase): Promise<Pass> {
  const { rows } = await database.pool.query<{ pass: Pass }>('select waybill.inbox_maintain() as pass')
  return rows[0]?.pass as Pass
}

/** The clock can't be set; what it is compared to can. */
export async function age(database: TestDatabase, days: number): Promise<void> {
  await database.pool.query(
    `update waybill.inbox_generations set opened_at = opened_at - $1 * interval '1 day', closed_at = closed_at - $1 * interval '1 day'`,
    [days],
  )
}

/** Opens the next generation: claims are written to both until two more passes. Something must have been claimed. */
export async function openGeneration(database: TestDatabase): Promise<void> {
  await age(database, 6)
  const pass = await maintain(database)
  if (!pass.changing) throw new Error(`no new generation was opened: ${JSON.stringify(pass)}`)
}

/** Passes until claims are written to the new generation alone. */
export async function nextGeneration(database: TestDatabase): Promise<void> {
  await openGeneration(database)
  // on a shared server a transaction of another database may still run that is older
  await waitFor(async () => !(await maintain(database)).changing, { what: 'the end of the change' })
}
