import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire } from 'node:module'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineTopics, Queue, type Transaction } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged, withClient } from './publish-fixture.js'

/** A publish belongs to the transaction that is open when it is called: what each way of missing that looks like. */
const older = createRequire(import.meta.url)('pg-older') as typeof pg
const database = useDatabase()
const queue = new Queue()
afterAll(() => queue.close())
const invalid = { code: 'WAYBILL_TX_INVALID' }
const payloads = async (topic: string) => (await logged(database(), topic)).map((row) => row.payload)

/** A queue whose schema answers when `open` is called. */
function gated(topic: string) {
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  const schema = {
    '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => gate.then(() => ({ value })) },
  }
  return { own: new Queue({ topics: defineTopics({ [topic]: schema }) }), open: () => open() }
}

describe.each([
  ['pg', pg],
  ['pg before 8.21', older],
])('a client of %s', (name, from) => {
  const topicOf = (what: string) => `${name.replace(/\W/g, '-')}.${what}`
  const connected = async (work: (client: pg.Client) => Promise<void>) => {
    const client = new from.Client({ connectionString: database().url })
    await client.connect()
    try {
      await work(client)
    } finally {
      await client.end()
    }
  }

  it('runs what is written in the order in which it is written', async () => {
    const topic = topicOf('order')
    await connected(async (client) => {
      const all = [
        client.query('begin'),
        queue.publish(topic, 1, { tx: client }),
        queue.publishMany([{ topic, payload: 2 }], { tx: client }),
        client.query('rollback'),
        client.query('begin'),
        queue.publish(topic, 3, { tx: client }),
        queue.publish(topic, 4, { tx: client, dedupeKey: 'x' }),
        client.query('commit'),
      ]
      const after = expect(queue.publish(topic, 5, { tx: client })).rejects.toMatchObject(invalid)
      await Promise.all(all)
      await after
    })
    expect(await payloads(topic)).toEqual(['3', '4'])
  })

  it.each([
    ['rolled back', 'rollback'],
    ['committed', 'commit'],
    ['followed by another one', 'rollback; begin'],
    ['followed by another one in one message', 'commit and chain'],
    ['in a savepoint that was rolled back', 'rollback to s'],
    ['in a savepoint by then', 'savepoint t'],
  ])('refuses what waited for its schema when its transaction is %s', async (what, meanwhile) => {
    const topic = topicOf(`held.${what.replaceAll(' ', '-')}`)
    const { own, open } = gated(topic)
    await connected(async (client) => {
      // behind the savepoint, and not awaited: its place in the queue counts
      const begun = client.query('begin; savepoint s')
      const publishing = expect(own.publish(topic, 1, { tx: client })).rejects.toMatchObject(invalid)
      await begun
      for (const sql of meanwhile.split('; ')) await client.query(sql)
      open()
      await publishing
      await client.query('commit')
    })
    expect(await payloads(topic)).toEqual([])
  })

  it('publishes what waited for its schema while its transaction went on', async () => {
    const topic = topicOf('went-on')
    const { own, open } = gated(topic)
    await connected(async (client) => {
      void client.query('begin')
      const publishing = own.publish(topic, 1, { tx: client })
      await client.query('select 1')
      open()
      await publishing
      await client.query('commit')
    })
    expect(await payloads(topic)).toEqual(['1'])
  })

  it('refuses one that was never connected, and publishes in one that is connecting', async () => {
    const never = new from.Client({ connectionString: database().url })
    await expect(queue.publish('a.b', 1, { tx: never })).rejects.toMatchObject(invalid)
    const topic = topicOf('connecting')
    const client = new from.Client({ connectionString: database().url })
    const all = [
      client.connect(),
      client.query('begin'),
      queue.publish(topic, 1, { tx: client }),
      client.query('commit'),
    ]
    await Promise.all(all)
    await client.end()
    expect(await payloads(topic)).toEqual(['1'])
  })

  it('settles, and looks, where query was replaced', async () => {
    type Query = (given: string | { text: string; values: unknown[] }, values?: unknown[]) => Promise<unknown>
    const replacements: Record<string, (query: Query) => Query> = {
      copies: (query) => (given, values) =>
        query(typeof given === 'string' ? given : { text: given.text, values: given.values }, values),
      later: (query) => async (given, values) => {
        await Promise.resolve()
        return query(given, values)
      },
    }
    for (const [what, replacement] of Object.entries(replacements)) {
      const topic = topicOf(`replaced.${what}`)
      await connected(async (client) => {
        const query = client.query.bind(client) as unknown as Query
        Object.assign(client, { query: replacement(query) })
        await expect(queue.publish(topic, 0, { tx: client })).rejects.toMatchObject(invalid)
        await query('begin')
        await Promise.all([1, 2].map((n) => queue.publish(topic, n, { tx: client })))
        await query('commit')
        void query('begin')
        const refused = expect(queue.publish(topic, 3, { tx: client })).rejects.toThrow()
        void query('rollback')
        await refused
      })
      expect((await payloads(topic)).sort()).toEqual(['1', '2'])
    }
    const rejecting = Object.assign(new from.Client({ connectionString: database().url }), {
      query: () => Promise.reject(new RangeError('the breaker is open')),
    })
    const connecting = rejecting.connect()
    await connecting
    await expect(queue.publish('a.b', 1, { tx: rejecting })).rejects.toThrow()
    await rejecting.end()
  })
})

describe('the handle of a savepoint that was rolled back is refused, the outer one is not', () => {
  /** Publishes with the inner handle, rolls it back, tries the inner again, and then the outer one. */
  async function attempt(
    topic: string,
    outer: object,
    nest: (inside: (inner: object) => Promise<never>) => Promise<unknown>,
  ) {
    let inner: object[] = []
    await queue.publish(topic, 'before', { tx: outer as Transaction })
    await nest(async (handle) => {
      // in an array: some are thenable
      inner = [handle]
      await queue.publish(topic, 'undone', { tx: handle as Transaction })
      throw new RangeError('no')
    }).catch(() => undefined)
    await expect(queue.publish(topic, 'late', { tx: inner[0] as Transaction })).rejects.toMatchObject(invalid)
    await queue.publish(topic, 'after', { tx: outer as Transaction })
  }
  const expected = ['"before"', '"after"']

  it('Drizzle', async () => {
    await drizzle(database().pool).transaction((tx) =>
      attempt('nested.drizzle', tx, (inside) => tx.transaction((inner) => inside(inner))),
    )
    expect(await payloads('nested.drizzle')).toEqual(expected)
  })

  it('postgres.js', async () => {
    const sql = postgres(database().url, { max: 1 })
    await sql.begin((tx) => attempt('nested.postgres-js', tx, (inside) => tx.savepoint((inner) => inside(inner))))
    await sql.end()
    expect(await payloads('nested.postgres-js')).toEqual(expected)
  })

  it('Kysely', async () => {
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: database().pool }) })
    const trx = await db.startTransaction().execute()
    await attempt('nested.kysely', trx, async (inside) => {
      const inner = await trx.savepoint('s').execute()
      try {
        await inside(inner)
      } finally {
        await inner.rollbackToSavepoint('s').execute()
      }
    })
    await trx.commit().execute()
    expect(await payloads('nested.kysely')).toEqual(expected)
  })
})

it('one handle whose first publish was in a savepoint in SQL goes on after its rollback', async () => {
  await drizzle(database().pool).transaction(async (tx) => {
    await tx.execute('savepoint s')
    await queue.publish('raw.savepoint', 'undone', { tx })
    await tx.execute('rollback to s')
    await queue.publish('raw.savepoint', 'kept', { tx })
  })
  expect(await payloads('raw.savepoint')).toEqual(['"kept"'])
})

describe('publishes at once', () => {
  const scopeLength = `select length(current_setting('waybill.scope', true)) as n`
  const one = 40

  it('share a mark where a transaction has an object of its own', async () => {
    const statements: string[] = []
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: database().pool }),
      log: ({ query }) => void statements.push(query.sql),
    })
    const { own, open } = gated('at-once.later')
    await db.transaction().execute(async (tx) => {
      const all = Array.from({ length: 30 }, (_, n) => queue.publish('at-once.kysely', n, { tx }))
      const later = Array.from({ length: 30 }, (_, n) => own.publish('at-once.later', n, { tx }))
      open()
      await Promise.all([...all, ...later])
      // begin, the mark, and one for each
      expect(statements).toHaveLength(62)
      const { rows } = await sql.raw<{ n: number }>(scopeLength).execute(tx)
      expect(rows[0]?.n).toBeLessThan(one)
    })
    expect(await payloads('at-once.kysely')).toHaveLength(30)
    expect(await payloads('at-once.later')).toHaveLength(30)
  })

  it('do not where one object stands for several', async () => {
    const current = new AsyncLocalStorage<pg.Client>()
    const tx = { query: (text: string, values?: unknown[]) => (current.getStore() as pg.Client).query(text, values) }
    await withClient(database(), async (first) =>
      withClient(database(), async (second) => {
        const clients = [first, second]
        await Promise.all(clients.map((client) => client.query('begin')))
        await Promise.all(
          clients.map((client, n) => current.run(client, () => queue.publish('at-once.two', n, { tx }))),
        )
        await second.query('rollback')
        await first.query('commit')
      }),
    )
    expect(await payloads('at-once.two')).toEqual(['0'])
  })
})

describe('postgres.js', () => {
  let sql: postgres.Sql
  beforeAll(() => void (sql = postgres(database().url, { max: 1 })))
  afterAll(() => sql.end({ timeout: 1 }))

  it('publishes what nobody awaits', async () => {
    const calls: Promise<string>[] = []
    await sql.begin(async (tx) => {
      await tx`select 1`
      for (let n = 0; n < 5; n++) calls.push(queue.publish('floating', n, { tx }))
    })
    await Promise.all(calls)
    expect(await payloads('floating')).toEqual(['0', '1', '2', '3', '4'])
  })

  it('settles what is called after the end while its connection works for others, and closes', async () => {
    const own = new Queue()
    const used: Transaction[] = []
    for (const publishes of [true, false]) {
      await sql.begin(async (tx) => {
        if (publishes) await own.publish('before.the-end', 1, { tx })
        used.push(tx)
      })
    }
    const busy = sql`select pg_sleep(1.5)`.execute()
    const late = await Promise.allSettled(used.flatMap((tx) => [1, 2, 3].map((n) => own.publish('late', n, { tx }))))
    expect(late.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 'rejected'))
    await busy
    await own.close()
    expect(await payloads('late')).toEqual([])
  })

  it('waits for a lock as long as it takes', async () => {
    await withClient(database(), async (locker) => {
      await locker.query('begin; lock table waybill.messages in access exclusive mode')
      const published = sql.begin((tx) => Promise.all([1, 2].map((n) => queue.publish('waits', n, { tx: tx }))))
      setTimeout(() => void locker.query('rollback'), 3500)
      await published
    })
    expect(await payloads('waits')).toEqual(['1', '2'])
  })
})

it('what was checked is what is stored: a payload that changed while its schema ran is refused', async () => {
  const { own, open } = gated('changed')
  const same = { total: 5 }
  const changed = { total: 5 }
  const at = new Date(Date.now() - 1000)
  await withClient(database(), async (client) => {
    await client.query('begin')
    const kept = own.publish('changed', same, { tx: client, at })
    const list = expect(
      own.publishMany([{ topic: 'changed', payload: changed }], { tx: client }),
    ).rejects.toMatchObject({
      code: 'WAYBILL_PAYLOAD_INVALID',
      problems: [{ path: 'messages[0].payload', message: expect.stringContaining('was changed') as string }],
    })
    changed.total = -1
    at.setFullYear(9998)
    open()
    await kept
    await list
    await client.query('commit')
  })
  expect(await payloads('changed')).toEqual(['{"total":5}'])
})
