import { describe, expect, it } from 'vitest'
import { createDispatcher } from '../../src/app/index.js'
import { defineConfig, jobs, webhook } from '../../src/config/index.js'
import { migrate } from '../../src/db/migrate.js'
import { Inbox } from '../../src/inbox/index.js'
import { createWorker } from '../../src/jobs/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

const messages = 40
const inbox = new Inbox({ consumer: 'billing' })
const table = 'create table effects (id text not null, at timestamptz not null default clock_timestamp())'

/** What a consumer does: the claim, its own write and the commit. */
async function consume({ pool }: TestDatabase, id: string): Promise<boolean> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const { done } = await inbox.once(id, { tx: client }, (tx) =>
      tx.query('insert into effects (id) values ($1)', [id]),
    )
    await client.query('commit')
    return done
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

async function effects({ pool }: TestDatabase): Promise<string[]> {
  return (await pool.query<{ id: string }>('select id from effects order by id')).rows.map((row) => row.id)
}

/** Publishes messages, and every one of them once more under the id that it had. */
async function publishAndReplay(pool: TestDatabase['pool'], replay: () => Promise<unknown>): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < messages; i++) ids.push(await publish(pool, 'order.created', { i }, { key: `k${i % 5}` }))
  await replay()
  for (const [i, id] of ids.entries()) await publish(pool, 'order.created', { i }, { id, key: `k${i % 5}` })
  return ids.sort()
}

describe.each(['pg18', 'pg15'] as const)('a consumer with an inbox, on %s', (server) => {
  it('has one effect for each message of a webhook whose answers get lost and which is replayed', async () => {
    const sender = await createTestDatabase({ server })
    const consumer = await createTestDatabase({ server, empty: true })
    await migrate(consumer.url, { only: 'inbox' })
    await consumer.pool.query(table)
    let [deliveries, lost] = [0, 0]
    const receiver = await startHttpReceiver(async ({ headers }) => {
      const n = deliveries++
      const done = await consume(consumer, String(headers['webhook-id']))
      // the effect is there, and the sender never hears of it
      if (done && n % 3 === 0) {
        lost++
        return n % 2 === 0 ? 'destroy' : { status: 500 }
      }
      return { status: 204 }
    })
    const backoff = { base: '10ms', cap: '50ms' }
    const dispatcher = createDispatcher(
      defineConfig({
        database: { url: sender.url },
        destinations: {
          crm: webhook({ url: receiver.url, allowNetworks: ['127.0.0.0/8'], backoff, probe: backoff }),
        },
        routes: { 'order.*': ['crm'] },
      }),
      { logger: silentLogger },
    )
    await dispatcher.start()
    try {
      const ids = await publishAndReplay(sender.pool, () => waitFor(() => deliveries >= messages))
      await waitFor(() => deliveries >= 2 * messages + lost, {
        what: 'every delivery, lost answers and replays included',
      })
      expect(lost).toBeGreaterThan(5)
      expect(await effects(consumer)).toEqual(ids)
    } finally {
      await dispatcher.stop()
    }
  })

  it('has one effect for each message that becomes two jobs, the handlers of which fail at first', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(table)
    let [runs, failed] = [0, 0]
    const worker = createWorker({
      pool: db.pool,
      queues: { billing: { concurrency: 4 } },
      handlers: {
        'order.created': async (job) => {
          const n = runs++
          const done = await consume(db, job.messageId)
          if (done && n % 3 === 0) {
            failed++
            throw new Error('after the commit')
          }
        },
      },
      pollMs: 50,
      backoff: { baseMs: 1, capMs: 5 },
    })
    const dispatcher = createDispatcher(
      defineConfig({
        database: { url: db.url },
        destinations: { billing: jobs({ queue: 'billing' }) },
        routes: { 'order.*': ['billing'] },
      }),
      { logger: silentLogger },
    )
    await dispatcher.start()
    await worker.start()
    try {
      const ids = await publishAndReplay(db.pool, () => waitFor(() => runs >= messages))
      await waitFor(
        async () =>
          (await db.pool.query(`select from waybill.jobs where state = 'completed'`)).rowCount === 2 * messages,
        { what: 'two jobs for each message' },
      )
      expect(failed).toBeGreaterThan(5)
      expect(runs).toBe(2 * messages + failed)
      expect(await effects(db)).toEqual(ids)
    } finally {
      await worker.stop({ drainMs: 0, abortMs: 500 })
      await dispatcher.stop()
    }
  })
})
