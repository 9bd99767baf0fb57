import { createRequire } from 'node:module'
import { InMemorySpanExporter, SimpleSpanProcessor, BasicTracerProvider } from '@opentelemetry/sdk-trace-base'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import pg from 'pg'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { inTransaction, logged, withClient } from './publish-fixture.js'

/** A plain message goes to the server in fewer protocol messages than pg's own queries have; all else is as pg does it. */
const require = createRequire(import.meta.url)
const database = useDatabase()
const queues = { prepared: new Queue({ prepared: true }), unnamed: new Queue() }
afterAll(() => Promise.all(Object.values(queues).map((queue) => queue.close())))

interface Connection {
  describe(message: object): void
  bind(message: { statement?: string }): void
}
const connectionOf = (client: pg.Client): Connection => (client as unknown as { connection: Connection }).connection

/** The log is locked while `work` runs: who publishes waits. */
async function whileLocked(work: () => Promise<void>): Promise<void> {
  await withClient(database(), async (locker) => {
    await locker.query('begin; lock table waybill.messages in access exclusive mode')
    await work()
    await locker.query('rollback')
  })
}

async function using(config: pg.ClientConfig, work: (client: pg.Client) => Promise<void>, from = pg): Promise<void> {
  const client = new from.Client({ connectionString: database().url, ...config })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

describe.each([
  ['pg', pg],
  ['pg 8.11', require('pg-older') as typeof pg],
])('a client of %s', (name, from) => {
  it.each(['prepared', 'unnamed'] as const)('publishes %s, asks for no description, and prepares once', async (how) => {
    const queue = queues[how]
    const topic = `messages.${name.replace(/\W/g, '-')}.${how}`
    await using(
      {},
      async (client) => {
        const described = vi.spyOn(connectionOf(client), 'describe')
        const bound = vi.spyOn(connectionOf(client), 'bind')
        const ids: string[] = []
        for (let i = 0; i < 3; i++) {
          await client.query('begin')
          ids.push(await queue.publish(topic, { i }, { tx: client, key: 'k' }))
          ids.push(await queue.publish(topic, { i }, { tx: client, headers: { source: 'test' } }))
          await client.query('commit')
        }
        expect(described).not.toHaveBeenCalled()
        const names = bound.mock.calls.map(([{ statement }]) => statement)
        const two = how === 'prepared' ? ['waybill_insert', 'waybill_insert_headers'] : ['', '']
        expect(names).toEqual([...two, ...two, ...two])
        const { rows } = await client.query<{ name: string }>('select name from pg_prepared_statements order by name')
        expect(rows.map((row) => row.name)).toEqual(how === 'prepared' ? two : [])
        const messages = await logged(database(), topic)
        expect(messages.map((message) => message.id)).toEqual(ids)
        expect(messages.map(({ key, headers }) => [key, headers])).toEqual(
          Array.from({ length: 3 }, () => [
            ['k', null],
            [null, '{"source":"test"}'],
          ]).flat(),
        )
      },
      from,
    )
  })

  it('has the error of the database, from where it was called, and goes on after a rollback', async () => {
    await using(
      {},
      async (client) => {
        await whileLocked(async () => {
          await client.query(`begin; set local lock_timeout = '50ms'`)
          const error: unknown = await queues.prepared
            .publish('messages.refused', 1, { tx: client })
            .catch((reason: unknown) => reason)
          expect(error).toMatchObject({ code: '55P03' })
          expect((error as Error).stack).toContain('publish-pg-messages.test.ts')
          await expect(queues.prepared.publish('messages.refused', 1, { tx: client })).rejects.toMatchObject({
            code: 'WAYBILL_TX_INVALID',
          })
          await client.query('rollback')
        })
        const id = await inTransaction(client, () => queues.prepared.publish('messages.after', 1, { tx: client }))
        expect((await logged(database(), 'messages.after')).map((message) => message.id)).toContain(id)
        expect(await logged(database(), 'messages.refused')).toEqual([])
      },
      from,
    )
  })

  it('times out as its query_timeout says', async () => {
    await using(
      { query_timeout: 200 },
      async (client) => {
        await whileLocked(async () => {
          await client.query('begin')
          await expect(queues.prepared.publish('messages.slow', 1, { tx: client })).rejects.toThrow(
            'Query read timeout',
          )
        })
      },
      from,
    )
    expect(await logged(database(), 'messages.slow')).toEqual([])
  })

  it('rejects when its connection ends while the statement runs', async () => {
    await using(
      { application_name: `to be ended, ${name}` },
      async (client) => {
        await whileLocked(async () => {
          await client.query('begin')
          const publishing = queues.unnamed.publish('messages.ended', 1, { tx: client })
          const ended = expect(publishing).rejects.toThrow(/terminat/)
          const pid = (client as unknown as { processID: number }).processID
          await waitFor(async () => {
            const sql = `select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`
            return (await database().pool.query(sql, [pid])).rowCount === 1
          })
          await database().pool.query('select pg_terminate_backend($1)', [pid])
          await ended
        })
      },
      from,
    )
    expect(await logged(database(), 'messages.ended')).toEqual([])
  })

  it('says so when a statement of the application has the same name', async () => {
    await using(
      {},
      async (client) => {
        const topic = `messages.named.${name.replace(/\W/g, '-')}`
        await client.query({ name: 'waybill_insert', text: 'select 1' })
        await client.query('begin')
        await expect(queues.prepared.publish(topic, 1, { tx: client })).rejects.toThrow(
          "Prepared statements must be unique - 'waybill_insert' was used for a different statement",
        )
        const id = await queues.unnamed.publish(topic, 2, { tx: client })
        await client.query('commit')
        expect(await logged(database(), topic)).toMatchObject([{ id, payload: '2' }])
      },
      from,
    )
  })
})

it('a client that pipelines takes pg’s own queries', async () => {
  await using({ pipeline: true }, async (client) => {
    const described = vi.spyOn(connectionOf(client), 'describe')
    const id = await inTransaction(client, () => queues.prepared.publish('messages.pipelined', 1, { tx: client }))
    expect(described).toHaveBeenCalledOnce()
    expect(await logged(database(), 'messages.pipelined')).toMatchObject([{ id }])
  })
})

it('a client that OpenTelemetry instruments has a span for it, ended, with its text and its errors', async () => {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const instrumentation = new PgInstrumentation()
  instrumentation.setTracerProvider(provider)
  instrumentation.enable()
  try {
    // instrumentation hooks into require
    const instrumented = require('pg') as typeof pg
    await using(
      {},
      async (client) => {
        const run = async (work: () => Promise<unknown>): Promise<unknown> => work().catch((error: unknown) => error)
        await client.query('begin')
        const id = await queues.prepared.publish('messages.traced', 1, { tx: client })
        await client.query('commit')
        await whileLocked(async () => {
          await client.query(`begin; set local lock_timeout = '50ms'`)
          expect(await run(() => queues.unnamed.publish('messages.traced', 2, { tx: client }))).toMatchObject({
            code: '55P03',
          })
          await client.query('rollback')
        })
        expect(await logged(database(), 'messages.traced')).toMatchObject([{ id }])
        const inserts = exporter
          .getFinishedSpans()
          .filter(({ attributes }) => /insert into waybill/.test(text(attributes)))
        expect(inserts.map(({ status }) => status.code)).toEqual([0, 2])
      },
      instrumented,
    )
  } finally {
    instrumentation.disable()
  }
})

const text = (attributes: object): string => JSON.stringify(attributes)
