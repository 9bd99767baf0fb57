import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { begun, claim, untilBlocked } from './inbox-fixture.js'
import { withClient } from '../support/with-client.js'

describe.each(['pg18', 'pg15'] as const)('waybill.inbox_claim on %s', (server) => {
  const database = useDatabase({ server })

  it('is true the first time and false from then on, for each consumer by itself', async () => {
    const { pool } = database()
    expect(await claim(pool, 'first', 'm1')).toBe(true)
    expect(await claim(pool, 'first', 'm1')).toBe(false)
    expect(await claim(pool, 'first', 'm1', 'skip')).toBe(false)
    expect(await claim(pool, 'first', 'M1')).toBe(true)
    expect(await claim(pool, 'other', 'm1')).toBe(true)
    expect(await claim(pool, 'other', 'm2', 'skip')).toBe(true)
  })

  it('is the transaction’s: a rollback forgets it, to a savepoint too, and the same transaction knows its own', async () => {
    const client = await begun(database())
    expect(await claim(client, 'tx', 'm1')).toBe(true)
    expect(await claim(client, 'tx', 'm1')).toBe(false)
    await client.query('savepoint s')
    expect(await claim(client, 'tx', 'm2')).toBe(true)
    await client.query('rollback to s')
    expect(await claim(client, 'tx', 'm2')).toBe(true)
    await client.query('rollback')
    for (const id of ['m1', 'm2']) expect(await claim(database().pool, 'tx', id)).toBe(true)
  })

  it.each([
    ['commit', false],
    ['rollback', true],
  ])('waits for another one’s end: after its %s it is %s', async (end, first) => {
    const [one, two] = [await begun(database()), await begun(database())]
    expect(await claim(one, 'wait', end)).toBe(true)
    const second = claim(two, 'wait', end)
    await untilBlocked(database(), two, one)
    expect(await claim(await begun(database()), 'another consumer', end)).toBe(true)
    await one.query(end)
    expect(await second).toBe(first)
    await two.query('commit')
    expect(await claim(database().pool, 'wait', end)).toBe(false)
  })

  it('skips what another one is at, at once, and leaves the transaction and its lock_timeout as they were', async () => {
    const [one, two] = [await begun(database()), await begun(database())]
    await two.query(`set local lock_timeout = '7s'`)
    await claim(one, 'skip', 'm1')
    expect(await claim(two, 'skip', 'm1', 'skip')).toBe(null)
    expect(await claim(two, 'skip', 'm2', 'skip')).toBe(true)
    expect((await two.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '7s' }])
    await one.query('rollback')
    expect(await claim(two, 'skip', 'm1', 'skip')).toBe(true)
    await two.query('commit')
    for (const id of ['m1', 'm2']) expect(await claim(database().pool, 'skip', id, 'skip')).toBe(false)
  })

  it.each(['repeatable read', 'serializable'])(
    'in %s is refused, with its SQLSTATE, what was claimed since the snapshot; run again it is told',
    async (isolation) => {
      const { pool } = database()
      await claim(pool, isolation, 'before')
      const client = await begun(database(), isolation)
      await client.query('select 1 from waybill.inbox')
      await claim(pool, isolation, 'since')
      expect(await claim(client, isolation, 'before')).toBe(false)
      expect(await claim(client, isolation, 'mine')).toBe(true)
      await expect(claim(client, isolation, 'since')).rejects.toMatchObject({
        code: '40001',
        message: expect.stringContaining('waybill.inbox_claim') as string,
        hint: expect.stringContaining('Run the whole transaction again') as string,
      })
      await client.query('rollback')
      await client.query(`begin isolation level ${isolation}`)
      expect(await claim(client, isolation, 'since')).toBe(false)
      expect(await claim(client, isolation, 'mine')).toBe(true)
      await client.query('commit')
    },
  )

  it('refuses what is no name, without repeating it', async () => {
    const { pool } = database()
    for (const [consumer, id, onBusy, said] of [
      ['', 'm', 'wait', 'consumer has 0 bytes'],
      ['c', 'x'.repeat(1025), 'wait', 'id has 1025 bytes'],
      ['c', null, 'wait', 'id is null'],
      ['c', 'm', 'later', 'on_busy'],
    ] as const) {
      await expect(claim(pool, consumer, id as string, onBusy)).rejects.toMatchObject({
        code: '22023',
        message: expect.stringContaining(said) as string,
      })
    }
    expect(await claim(pool, 'c'.repeat(255), 'ü'.repeat(512))).toBe(true)
  })

  it('can be forgotten', async () => {
    const { pool } = database()
    const forget = async (): Promise<unknown> =>
      (await pool.query(`select waybill.inbox_forget('forget', 'm') as was`)).rows[0]
    expect(await forget()).toEqual({ was: false })
    await claim(pool, 'forget', 'm')
    expect(await forget()).toEqual({ was: true })
    expect(await claim(pool, 'forget', 'm')).toBe(true)
  })

  it.each(['directly', 'through PgBouncer in transaction mode'])(
    'a thousand claims at once of fifty ids, many rolled back, have one effect for each: %s',
    async (way) => {
      const { pool, url, pgbouncerUrl } = database()
      await pool.query('create table if not exists effects (way text, id text)')
      const ids = Array.from({ length: 50 }, (_, i) => `${way} ${i}`)
      let turn = 0
      const answers = { first: 0, duplicate: 0, busy: 0, rolledBack: 0 }
      const work = async (client: pg.Client): Promise<void> => {
        for (let n = turn++; n < 1000; n = turn++) {
          const id = ids[(n * 7) % 50] ?? ''
          await client.query('begin')
          const first = await claim(client, 'many', id, n % 3 === 0 ? 'skip' : 'wait')
          if (first === true) await client.query('insert into effects values ($1, $2)', [way, id])
          const fails = first === true && n % 2 === 0 && n < 500
          if (fails) answers.rolledBack++
          else answers[first === null ? 'busy' : first ? 'first' : 'duplicate']++
          await client.query(fails ? 'rollback' : 'commit')
        }
      }
      const through = way === 'directly' ? url : pgbouncerUrl
      await Promise.all(Array.from({ length: 20 }, () => withClient(through, work)))
      const { rows } = await pool.query('select id from effects where way = $1 order by 1', [way])
      expect(rows.map((row: { id: string }) => row.id)).toEqual([...ids].sort())
      expect(answers.first).toBe(50)
      expect(answers.rolledBack).toBeGreaterThan(0)
      expect(answers.first + answers.duplicate + answers.busy + answers.rolledBack).toBe(1000)
    },
  )
})
