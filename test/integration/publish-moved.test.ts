import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { Queue } from '../../src/index.js'
import { type TestDatabase, createTestDatabase } from '../support/database.js'
import { withClient } from './publish-fixture.js'

/** By which whoever puts the sequence right keeps all others out. */
const lock = `select from waybill.locks where name = 'sequence' for update`

describe.each(['pg18', 'pg15'] as const)('a database to which sequences did not come along, on %s', (server) => {
  let db: TestDatabase
  beforeEach(async () => {
    db = await createTestDatabase({ server })
    onTestFinished(() => db.drop())
    for (let i = 0; i < 50; i++) await db.pool.query(`select waybill.publish('old', '1', key => 'k')`)
    for (const sequence of ['message_seq', 'audit_id_seq', 'asleep', 'awake', 'server_start'])
      await db.pool.query(`alter sequence waybill.${sequence} restart`)
  })

  const seqs = async (topic: string): Promise<number[]> =>
    (
      await db.pool.query<{ seq: number }>('select seq::int from waybill.messages where topic = $1 order by seq', [
        topic,
      ])
    ).rows.map(({ seq }) => seq)
  const mended = async (): Promise<unknown[]> =>
    (
      await db.pool.query<{ target: unknown }>(`select target from waybill.audit where action = 'mend_sequence'`)
    ).rows.map(({ target }) => target)
  const locks = async (): Promise<number> => 1 - ((await db.pool.query(`${lock} skip locked`)).rowCount ?? 0)

  it.each([
    ['a plain publish', `select waybill.publish('new', '1')`],
    [
      'a message that is inserted',
      `insert into waybill.messages (payload, topic, id) values ('1', 'new', gen_random_uuid())`,
    ],
    [
      'one with every option',
      `select waybill.publish('new', '1', 'k', '{"a":"b"}', dedupe_key => 'd', key_lock => true)`,
    ],
    ['a list', `select waybill.publish_many('{new}', '{1}', null, null, null, null, null, null, null, null)`],
    [
      'what was scheduled',
      `insert into waybill.scheduled (id, run_at, topic, payload) values (gen_random_uuid(), now(), 'new', '1');
       select waybill.stage_scheduled(10)`,
    ],
    ['one at repeatable read', `begin isolation level repeatable read; select waybill.publish('new', '1'); commit`],
  ])('%s gets a seq that was never used, and says so once', async (_, sql) => {
    await db.pool.query(sql)
    await db.pool.query(`select waybill.publish('new', '2')`)
    expect(await seqs('new')).toEqual([1051, 1052])
    expect(await mended()).toEqual([{ from: 0, least: 50, to: 1050 }])
    expect(await locks()).toBe(0)
  })

  it('it is put right also when the transaction of whoever did is rolled back', async () => {
    await withClient(db, async (client) => {
      await client.query('begin')
      await client.query(`select waybill.publish('new', '1')`)
      // nobody waits for it, and whoever mends the sequence at a start doesn't either
      expect(await locks()).toBe(0)
      await db.pool.query(`select waybill.publish('new', '2')`)
      await client.query('rollback')
    })
    expect(await seqs('new')).toEqual([1052])
  })

  it('a publisher that is cancelled while another session puts it right leaves no lock, and the next one does it', async () => {
    await withClient(db, async (client) => {
      await client.query(`begin; ${lock}`)
      await withClient(db, async (waiting) => {
        await waiting.query(`set statement_timeout = '200ms'`)
        await expect(waiting.query(`select waybill.publish('new', '1')`)).rejects.toMatchObject({ code: '57014' })
        await client.query('rollback')
        expect(await locks()).toBe(0)
        await waiting.query(`select waybill.publish('new', '2')`)
      })
    })
    expect(await seqs('new')).toEqual([1051])
  })

  it('whoever has EXECUTE on publish and nothing else can do it', async () => {
    const role = `moved_${server}_publisher`
    await withClient(db, async (client) => {
      await client.query(`create role ${role}; grant usage on schema waybill to ${role};
        grant execute on function waybill.publish to ${role}; set role ${role}`)
      await client.query(`select waybill.publish('new', '1')`)
      await client.query(`reset role; drop owned by ${role}; drop role ${role}`)
    })
    expect(await seqs('new')).toEqual([1051])
  })

  it('a sequence that is ahead of all that was used stays where it is', async () => {
    await db.pool.query('alter sequence waybill.message_seq restart 500')
    const queue = new Queue({ pool: db.pool })
    await queue.publish('new', 1, { tx: null })
    expect(await seqs('new')).toEqual([500])
    expect(await mended()).toEqual([])
  })
})
