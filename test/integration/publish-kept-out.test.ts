import { createRequire } from 'node:module'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Queue, type Transaction } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged, withClient } from './publish-fixture.js'

/** A trigger of the application's own on Waybill's tables that swallows rows: no publish may give an id for one. */
const older = createRequire(import.meta.url)('pg-older') as typeof pg

/** A `query` that makes another of what it is given. */
function copying(client: pg.Client) {
  const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<unknown>
  return (given: string | pg.QueryConfig, values?: unknown[]) =>
    typeof given === 'string' ? query(given, values) : query(given.text, given.values)
}

describe.each(['pg18', 'pg15'] as const)('what a trigger keeps out, on %s', (server) => {
  const database = useDatabase({ server })
  const queue = new Queue()
  afterAll(() => queue.close())
  const refused = (table = 'messages') => ({
    code: 'WAYBILL_PUBLISH_INVALID',
    message: expect.stringContaining(`a trigger or a rule on waybill.${table} keeps the message out`) as string,
  })
  const later = { delay: '1h' }
  const forms: [string, (client: pg.Client) => Transaction][] = [
    ['inserted by pg', (client) => client],
    ['by the function', (client) => ({ query: (text, values) => client.query(text, values) })],
  ]

  beforeAll(async () => {
    await database().pool.query(
      `create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;
       create trigger swallow before insert on waybill.messages for each row when (new.topic = 'swallowed')
         execute function swallow();
       create trigger swallow before insert on waybill.scheduled for each row when (new.topic = 'swallowed')
         execute function swallow()`,
    )
  })

  describe.each(forms)('%s', (_name, txOf) => {
    it.each([
      ['plain', {}, 'messages'],
      ['with headers', { headers: { a: 'b' } }, 'messages'],
      ['with a dedupe key', { dedupeKey: 'd1' }, 'messages'],
      ['for later', later, 'scheduled'],
    ])('is refused: %s', async (_what, options, table) => {
      await withClient(database(), async (client) => {
        await client.query('begin')
        const tx = txOf(client)
        await expect(queue.publish('swallowed', 1, { tx, ...options })).rejects.toMatchObject(refused(table))
        await client.query('rollback')
      })
    })

    it('is refused: one of a list, now and for later', async () => {
      await withClient(database(), async (client) => {
        const tx = txOf(client)
        for (const [options, table] of [
          [{}, 'messages'],
          [later, 'scheduled'],
        ] as const) {
          await client.query('begin')
          const list = ['kept', 'swallowed', 'kept'].map((topic) => ({ topic, payload: 1, ...options }))
          await expect(queue.publishMany(list, { tx })).rejects.toMatchObject(refused(table))
          await client.query('rollback')
        }
      })
    })

    it('is nothing else: what was published before, and what is mixed, goes through', async () => {
      await withClient(database(), async (client) => {
        const tx = txOf(client)
        const topic = `kept.${_name.replaceAll(' ', '-')}`
        await client.query('begin')
        await queue.publish(topic, 'plain', { tx })
        await queue.publish(topic, 'headers', { tx, headers: { a: 'b' } })
        const dedupeKey = 'once'
        const id = await queue.publish(topic, 'once', { tx, dedupeKey })
        expect(await queue.publish(topic, 'again', { tx, dedupeKey })).toBe(id)
        await queue.publish(topic, 'later', { tx, ...later })
        const list = [{ payload: 'one' }, { payload: 'two', ...later }, { payload: 'again', dedupeKey }]
        const ids = await queue.publishMany(list.map((message) => ({ topic, ...message })), { tx }) // prettier-ignore
        expect(ids[2]).toBe(id)
        expect(await queue.publishMany([{ topic, payload: 'again', dedupeKey }], { tx })).toEqual([id])
        await client.query('commit')
        const payloads = (await logged(database(), topic)).map(({ payload }) => payload)
        expect(payloads).toEqual(['"plain"', '"headers"', '"once"', '"one"'])
      })
    })
  })

  it('is refused in a transaction of its own, with a pool given and with one made', async () => {
    const { pool, url } = database()
    const own = [new Queue({ pool }), new Queue({ connectionString: url })]
    for (const each of own) {
      await expect(each.publish('swallowed', 1, { tx: null })).rejects.toMatchObject(refused())
      await each.close()
    }
  })

  it.each([
    ['older', older],
    ['newest', pg],
  ])('is refused with the %s pg, prepared or not, also with another query', async (_name, from) => {
    for (const prepared of [true, false]) {
      const each = new Queue({ prepared })
      for (const replaced of [false, true]) {
        const client = new from.Client({ connectionString: database().url })
        await client.connect()
        try {
          await client.query('begin')
          if (replaced) Object.assign(client, { query: copying(client) })
          await expect(each.publish('swallowed', 1, { tx: client })).rejects.toMatchObject(refused())
        } finally {
          await client.end()
        }
      }
      await each.close()
    }
  })
})
