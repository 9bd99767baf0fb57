import pg from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { applyRoles } from '../../src/db/roles.js'
import { Queue } from '../../src/index.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { sessionsEnd, sessionsOf } from '../support/sessions.js'
import { inTransaction, logged, withClient } from './publish-fixture.js'

const database = useDatabase()
const queue = new Queue()
afterAll(() => queue.close())

/** How often the server said ReadyForQuery: once for each statement that was sent. */
function countStatements(client: pg.Client): () => number {
  let count = 0
  ;(client as unknown as { connection: NodeJS.EventEmitter }).connection.on('readyForQuery', () => count++)
  return () => count
}

describe('the transaction of a pg client', () => {
  it('published when it commits, and not when it rolls back', async () => {
    await withClient(database(), async (client) => {
      await client.query('begin')
      await queue.publish('tx.rolled-back', 1, { tx: client })
      await queue.publishMany([{ topic: 'tx.rolled-back', payload: 2 }], { tx: client })
      await client.query('rollback')
      await client.query('begin')
      const id = await queue.publish('tx.committed', 1, { tx: client })
      expect(await logged(database(), 'tx.committed')).toEqual([])
      await client.query('commit')
      expect(await logged(database(), 'tx.committed')).toMatchObject([{ id, payload: '1' }])
      expect(await logged(database(), 'tx.rolled-back')).toEqual([])
    })
  })

  it('is left with what a rolled-back savepoint did not take', async () => {
    await withClient(database(), async (client) => {
      await client.query('begin')
      const kept = await queue.publish('tx.savepoint', 1, { tx: client })
      await client.query('savepoint s')
      await queue.publish('tx.savepoint', 2, { tx: client })
      await client.query('rollback to s')
      await client.query('commit')
      expect(await logged(database(), 'tx.savepoint')).toMatchObject([{ id: kept }])
    })
  })

  it('gets one statement for each call', async () => {
    await withClient(database(), async (client) => {
      const statements = countStatements(client)
      await client.query('begin')
      const id = await queue.publish('tx.count', 1, {
        tx: client,
        delay: '1h',
        dedupeKey: 'x',
        key: 'k',
        keyLock: true,
      })
      expect(statements()).toBe(2)
      await queue.publishMany(
        Array.from({ length: 500 }, (_, i) => ({ topic: 'tx.count', payload: i })),
        { tx: client },
      )
      expect(statements()).toBe(3)
      await queue.cancel(id, { tx: client })
      expect(statements()).toBe(4)
      await queue.publishMany([], { tx: client })
      expect(statements()).toBe(4)
      await client.query('rollback')
    })
  })

  it('takes calls at once, and a begin that is under way', async () => {
    await withClient(database(), async (client) => {
      const begun = client.query('begin')
      const ids = await Promise.all(
        Array.from({ length: 50 }, (_, i) => queue.publish('tx.at-once', i, { tx: client })),
      )
      await begun
      await client.query('commit')
      expect((await logged(database(), 'tx.at-once')).map((row) => row.id)).toEqual(ids)
    })
  })

  it('answers with the id as the log has it, however it was written', async () => {
    const given = 'AB5C0F5E-3C9A-4F0B-9E44-0D3C6E9F1A2B'
    await withClient(database(), async (client) => {
      await client.query('begin')
      const id = await queue.publish('tx.id', 1, { tx: client, id: given })
      await client.query('commit')
      expect(await logged(database(), 'tx.id')).toMatchObject([{ id }])
    })
  })

  it('can use named prepared statements', async () => {
    const prepared = new Queue({ prepared: true })
    await withClient(database(), async (client) => {
      await client.query('begin')
      for (let i = 0; i < 3; i++) await prepared.publish('tx.prepared', i, { tx: client })
      const { rows } = await client.query<{ name: string }>('select name from pg_prepared_statements')
      expect(rows).toEqual([{ name: 'waybill_insert' }])
      await client.query('commit')
    })
    expect(await logged(database(), 'tx.prepared')).toHaveLength(3)
    await prepared.close()
  })
})

describe('what is no open transaction is refused, and nothing is written', () => {
  const refused = { code: 'WAYBILL_TX_INVALID' }
  const nothing = async () => expect(await logged(database(), 'tx.refused')).toEqual([])
  const publish = (tx: unknown) => queue.publish('tx.refused', 1, { tx } as never)

  it('a client outside a transaction: before, after, and after a commit that is under way', async () => {
    await withClient(database(), async (client) => {
      await expect(publish(client)).rejects.toMatchObject(refused)
      await expect(queue.publishMany([{ topic: 'tx.refused', payload: 1 }], { tx: client })).rejects.toMatchObject(
        refused,
      )
      await client.query('begin')
      await client.query('commit')
      await expect(publish(client)).rejects.toMatchObject(refused)
      await client.query('begin')
      const committed = client.query('commit')
      await expect(publish(client)).rejects.toMatchObject(refused)
      await committed
    })
    await nothing()
  })

  it('a client of pg before 8.21, which does not tell its status', async () => {
    await withClient(database(), async (client) => {
      Object.defineProperty(client, 'getTransactionStatus', { value: undefined })
      await expect(publish(client)).rejects.toMatchObject(refused)
      await client.query('begin')
      const statements = countStatements(client)
      const id = await queue.publish('tx.old', 1, { tx: client })
      expect(statements()).toBe(1)
      await client.query('commit')
      await expect(publish(client)).rejects.toMatchObject(refused)
      expect(await logged(database(), 'tx.old')).toMatchObject([{ id }])
    })
    await nothing()
  })

  it('a transaction that has failed', async () => {
    await withClient(database(), async (client) => {
      await client.query('begin')
      await client.query('select 1/0').catch(() => undefined)
      await expect(publish(client)).rejects.toMatchObject({
        ...refused,
        message: expect.stringContaining('roll it back') as string,
      })
      // the same from the database, where the client can't be asked
      const opaque = { query: (text: string, values?: unknown[]) => client.query(text, values) }
      await expect(publish(opaque)).rejects.toMatchObject(refused)
      await client.query('rollback')
    })
    await nothing()
  })

  it('a pool, a client that is not connected, one that was closed', async () => {
    await expect(publish(database().pool)).rejects.toMatchObject(refused)
    await expect(publish(new pg.Client({ connectionString: database().url }))).rejects.toMatchObject(refused)
    const client = new pg.Client({ connectionString: database().url })
    await client.connect()
    await client.query('begin')
    await client.end()
    await expect(publish(client)).rejects.toThrow()
    await nothing()
  })

  it('a client whose connection is lost while a statement is under way does not hang', async () => {
    const client = new pg.Client({ connectionString: database().url })
    client.on('error', () => undefined)
    await client.connect()
    await client.query('begin')
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const sleeping = client.query('select pg_sleep(60)').catch(() => undefined)
    const waiting = publish(client).catch((error: unknown) => error)
    await database().pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    await sleeping
    expect(await waiting).toBeInstanceOf(Error)
    await expect(publish(client)).rejects.toThrow()
    await nothing()
  })
})

describe('anything else with query(sql, parameters)', () => {
  it('is one transaction, or is refused before anything is written', async () => {
    const { pool } = database()
    const overPool = { query: (text: string, values?: unknown[]) => pool.query(text, values) }
    for (let i = 0; i < 2; i++) {
      await expect(queue.publish('any.refused', 1, { tx: overPool })).rejects.toMatchObject({
        code: 'WAYBILL_TX_INVALID',
        problems: [{ path: 'tx', message: expect.stringContaining('different transactions') as string }],
      })
    }
    const mute = { query: () => Promise.resolve([]) }
    await expect(queue.publish('any.refused', 1, { tx: mute })).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    expect(await logged(database(), 'any.refused')).toEqual([])
  })

  it('may stand for one transaction after another, and costs one statement more in each', async () => {
    await withClient(database(), async (client) => {
      const sent: string[] = []
      const wrapper = {
        query: async (text: string, values?: unknown[]) => {
          sent.push(text)
          return (await client.query(text, values)).rows as unknown[]
        },
      }
      for (const n of [1, 2]) {
        await inTransaction(client, async () => {
          await queue.publish('any.reused', n, { tx: wrapper })
          sent.length = 0
          await queue.publish('any.reused', n, { tx: wrapper })
          await queue.publishMany([{ topic: 'any.reused', payload: n }], { tx: wrapper })
          expect(sent).toHaveLength(2)
        })
        await expect(queue.publish('any.reused', 'late', { tx: wrapper })).rejects.toMatchObject({
          code: 'WAYBILL_TX_INVALID',
        })
      }
    })
    expect((await logged(database(), 'any.reused')).map((row) => row.payload)).toEqual(['1', '1', '1', '2', '2', '2'])
  })

  it('keeps no failed look: the transaction after it is looked at anew', async () => {
    await withClient(database(), async (client) => {
      const wrapper = { query: (text: string, values?: unknown[]) => client.query(text, values) }
      await client.query('begin')
      await client.query('select 1/0').catch(() => undefined)
      await expect(queue.publish('any.failed', 1, { tx: wrapper })).rejects.toMatchObject({
        code: 'WAYBILL_TX_INVALID',
      })
      await client.query('rollback')
      await inTransaction(client, () => queue.publish('any.failed', 2, { tx: wrapper }))
    })
    expect(await logged(database(), 'any.failed')).toHaveLength(1)
  })
})

describe('a transaction of its own (tx: null)', () => {
  it('over a pool that is given, which close leaves alone', async () => {
    const own = new Queue({ pool: database().pool })
    const id = await own.publish('own.pool', 1, { tx: null })
    expect(await logged(database(), 'own.pool')).toMatchObject([{ id }])
    await own.close()
    await database().pool.query('select 1')
  })

  it('over a pool that it makes from a connection string, and ends', async () => {
    let published: Promise<string>
    {
      await using own = new Queue({ connectionString: database().url })
      await own.publish('own.string', 1, { tx: null })
      expect(await sessionsOf(database(), 'publisher (waybill)')).toBe(1)
      published = own.publish('own.string', 2, { tx: null })
    }
    // close waited for what was under way
    await published
    expect(await logged(database(), 'own.string')).toHaveLength(2)
    await sessionsEnd(database(), 'publisher (waybill)')
  })
})

describe('errors of the database', () => {
  it('say that the schema is missing', async () => {
    const empty = await createTestDatabase({ empty: true })
    const own = new Queue({ pool: empty.pool })
    const expected = { code: 'WAYBILL_SCHEMA_MISSING', message: expect.stringContaining('waybill migrate') as string }
    await expect(own.publish('a.b', 1, { tx: null })).rejects.toMatchObject(expected)
    await expect(own.cancel('f81d4fae-7dec-11d0-a765-00a0c91e6bf6', { tx: null })).rejects.toMatchObject(expected)
    await empty.pool.query('create schema waybill')
    await expect(own.publishMany([{ topic: 'a.b', payload: 1 }], { tx: null })).rejects.toMatchObject(expected)
    await empty.drop()
  })

  it('say what to grant, and that is enough', async () => {
    const name = (kind: string): string => `${database().name}_${kind}`
    const names = { publisher: name('p'), dispatcher: name('d'), observer: name('o') }
    await database().pool.query(`create role ${name('app')}`)
    try {
      await withClient(database(), async (client) => {
        await client.query(`begin; set local role ${name('app')}`)
        await expect(queue.publish('a.b', 1, { tx: client })).rejects.toMatchObject({
          code: 'WAYBILL_PERMISSION_DENIED',
          message: expect.stringContaining('grant waybill_publisher to <role>') as string,
        })
        await client.query('rollback')
        await applyRoles(client, { names })
        await client.query(`grant ${names.publisher} to ${name('app')}; begin; set local role ${name('app')}`)
        await queue.publish('a.granted', 1, { tx: client })
        const list = [{ topic: 'a.granted', payload: 2, delay: '1h', dedupeKey: 'x', key: 'k', keyLock: true }]
        const [id = ''] = await queue.publishMany(list, { tx: client })
        expect(await queue.cancel(id, { tx: client })).toBe(true)
        await client.query('commit')
        // some hosts switch it on by themselves: the grant is no remedy then
        await client.query('alter table waybill.messages enable row level security')
        await client.query(`begin; set local role ${name('app')}`)
        await expect(queue.publish('a.b', 1, { tx: client })).rejects.toMatchObject({
          code: 'WAYBILL_PERMISSION_DENIED',
          message: expect.stringContaining('alter table waybill.messages disable row level security') as string,
        })
        await client.query('rollback')
        await client.query('alter table waybill.messages disable row level security')
      })
      expect(await logged(database(), 'a.granted')).toHaveLength(1)
    } finally {
      for (const role of [name('app'), ...Object.values(names)]) {
        await database().pool.query(
          `do $$ begin if to_regrole('${role}') is not null then drop owned by ${role}; drop role ${role}; end if; end $$`,
        )
      }
    }
  })

  it('of the message name the element of a list, and pass through where they are not ours', async () => {
    const own = new Queue({ pool: database().pool })
    const list = [0, 1, 2].map((i) => ({ topic: 'refused.by-sql', payload: i, ...(i === 1 ? { to: ['nobody'] } : {}) }))
    await expect(own.publishMany(list, { tx: null })).rejects.toMatchObject({
      code: 'WAYBILL_PUBLISH_INVALID',
      problems: [{ path: 'messages[1]', message: expect.stringContaining(`'nobody' is not known`) as string }],
    })
    expect(await logged(database(), 'refused.by-sql')).toEqual([])
    await withClient(database(), async (client) => {
      await client.query('begin read only')
      await expect(queue.publish('a.b', 1, { tx: client })).rejects.toMatchObject({ code: '25006' })
    })
  })
})
