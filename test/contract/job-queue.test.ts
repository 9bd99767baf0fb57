import { describe, expect, it } from 'vitest'
import { isTransactional, type OutboundMessage, type TransactionalAdapter } from '../../src/adapters/contract.js'
import { jobQueueAdapter } from '../../src/adapters/job-queue/index.js'
import { jobsSettings } from '../../src/config/destinations/jobs.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'

function message(n: number, more: Partial<OutboundMessage> = {}): OutboundMessage {
  const id = `01930000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
  return {
    id,
    topic: 'order.created',
    key: null,
    payload: '{}',
    headers: {},
    createdAt: new Date(),
    attempt: 1,
    ...more,
  }
}

function createAdapter(options: Parameters<typeof jobsSettings.parse>[0] = {}): TransactionalAdapter {
  const adapter = jobQueueAdapter.create(jobsSettings.parse(options), { destination: 'work', logger: silentLogger })
  if (!isTransactional(adapter)) throw new Error('not transactional')
  return adapter
}

describe.each(['pg18', 'pg15'] as const)('the job-queue adapter on %s', (server) => {
  const database = useDatabase({ server })

  const jobsOf = async (queue: string): Promise<Record<string, unknown>[]> =>
    (
      await database().pool.query<Record<string, unknown>>(
        `select id, message_id, name, key, args::text as args, headers, priority, max_attempts, state, attempt
           from waybill.jobs where queue = $1 order by run_at`,
        [queue],
      )
    ).rows

  it('makes one job of each message, in order, payload byte for byte, and answers with their ids', async () => {
    const queue = uniqueName('q')
    const adapter = createAdapter({ queue, priority: 2, jobMaxAttempts: 5, name: 'on.{topic}' })
    const payloads = ['{ "a" :1.0,  "b":"\\u0000\\"{,}" }', 'null', '"é\\\\"', '[12345678901234567890]']
    const batch = payloads.map((payload, n) =>
      message(n, { payload, key: `k"${n}`, headers: n === 0 ? { 'x-a': '1,"2"' } : {} }),
    )
    const outcomes = await adapter.deliverIn(database().pool, batch)
    const rows = await jobsOf(queue)
    expect(rows.map(({ args }) => args)).toEqual(payloads)
    expect(rows.map(({ message_id }) => message_id)).toEqual(batch.map(({ id }) => id))
    expect(rows.map(({ key }) => key)).toEqual(batch.map(({ key }) => key))
    expect(rows.map(({ headers }) => headers)).toEqual([{ 'x-a': '1,"2"' }, null, null, null])
    expect(rows[0]).toMatchObject({
      name: 'on.order.created',
      priority: 2,
      max_attempts: 5,
      state: 'available',
      attempt: 0,
    })
    expect(outcomes).toEqual(rows.map(({ id }) => ({ kind: 'delivered', receipt: { jobId: id } })))
  })

  it('takes a batch as large as it says, and an empty one', async () => {
    const queue = uniqueName('q')
    const adapter = createAdapter({ queue })
    const batch = Array.from({ length: adapter.capabilities.maxBatch }, (_, n) => message(n))
    expect(await adapter.deliverIn(database().pool, batch)).toHaveLength(batch.length)
    expect(await adapter.deliverIn(database().pool, [])).toEqual([])
    expect(await jobsOf(queue)).toHaveLength(batch.length)
  })

  it('leaves nothing behind when the transaction rolls back', async () => {
    const queue = uniqueName('q')
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await createAdapter({ queue }).deliverIn(client, [message(1)])
      await client.query('rollback')
    } finally {
      client.release()
    }
    expect(await jobsOf(queue)).toEqual([])
  })

  it('makes a second job of a message that is delivered again, as a replay does', async () => {
    const queue = uniqueName('q')
    const adapter = createAdapter({ queue })
    await adapter.deliverIn(database().pool, [message(1)])
    await adapter.deliverIn(database().pool, [message(1)])
    expect((await jobsOf(queue)).map(({ message_id }) => message_id)).toEqual([message(1).id, message(1).id])
  })

  it('throws when the database fails', async () => {
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
      await expect(createAdapter().deliverIn(client, [message(1)])).rejects.toMatchObject({ code: '25P02' })
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  it('refuses deliver outside a transaction, and everything once it is closed', async () => {
    const adapter = createAdapter()
    const context = { signal: new AbortController().signal, settle: () => undefined }
    await expect(adapter.deliver([message(1)], context)).rejects.toMatchObject({ code: 'WAYBILL_TX_REQUIRED' })
    await adapter.close()
    await adapter.close()
    await expect(adapter.deliver([message(1)], context)).rejects.toMatchObject({ code: 'WAYBILL_ADAPTER_CLOSED' })
    await expect(adapter.deliverIn(database().pool, [message(1)])).rejects.toMatchObject({
      code: 'WAYBILL_ADAPTER_CLOSED',
    })
  })
})
