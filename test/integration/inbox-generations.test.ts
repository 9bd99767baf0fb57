import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { maintainInbox, runMaintenance } from '../../src/outbox/retention/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import { age, begun, claim, maintain, nextGeneration, openGeneration, untilBlocked } from './inbox-fixture.js'

async function partitions({ pool }: TestDatabase): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'waybill.inbox'::regclass order by 1`,
  )
  return rows.map((row) => row.name.replace('waybill.inbox_', ''))
}

async function generationsOf({ pool }: TestDatabase, id: string): Promise<number[]> {
  const { rows } = await pool.query<{ g: number }>(
    'select generation::int as g from waybill.inbox where id = $1 order by 1',
    [id],
  )
  return rows.map((row) => row.g)
}

const passUnlessBusy = (db: TestDatabase, pool: pg.Pool, withinMs: number) =>
  db.pool.connect().then((client) => maintainInbox(pool, client, { withinMs }).finally(() => client.release()))

describe.each(['pg18', 'pg15'] as const)('generations of the inbox on %s', (server) => {
  it('follow one another, and what was claimed in an earlier one, or in between, is known', async () => {
    const db = await createTestDatabase({ server })
    const { pool } = db
    expect(await maintain(db)).toMatchObject({ ran: true, generation: 1, changing: false })
    await age(db, 6)
    // nothing was claimed: no need for another
    expect(await maintain(db)).toMatchObject({ generation: 1, changing: false })
    expect(await claim(pool, 'c', 'in 1')).toBe(true)
    await openGeneration(db)
    expect(await claim(pool, 'c', 'in between')).toBe(true)
    expect(await claim(pool, 'c', 'in 1')).toBe(false)
    await waitFor(async () => !(await maintain(db)).changing)
    expect(await claim(pool, 'c', 'in 2')).toBe(true)
    await nextGeneration(db)
    expect(await claim(pool, 'c', 'in 3', 'skip')).toBe(true)
    for (const id of ['in 1', 'in between', 'in 2', 'in 3']) expect(await claim(pool, 'c', id)).toBe(false)
    const where = await Promise.all(['in 1', 'in between', 'in 2', 'in 3'].map((id) => generationsOf(db, id)))
    expect(where).toEqual([[1], [1, 2], [2], [3]])
    expect(await partitions(db)).toEqual(['p1', 'p2', 'p3', 'p4', 'p5'])
  })

  it.each([
    ['commit', false],
    ['rollback', true],
  ])(
    'a transaction that claimed before the change is waited for in it: after its %s the second is %s',
    async (end, first) => {
      const db = await createTestDatabase({ server })
      const old = await begun(db)
      await claim(db.pool, 'c', 'something')
      expect(await claim(old, 'c', 'm')).toBe(true)
      await openGeneration(db)
      // it knows only of the first generation, so nobody may know only of the second
      for (let i = 0; i < 4; i++) expect(await maintain(db)).toMatchObject({ generation: 1, changing: true })
      const second = await begun(db)
      const answer = claim(second, 'c', 'm')
      await untilBlocked(db, second, old)
      await old.query(end)
      expect(await answer).toBe(first)
      await second.query('commit')
      await waitFor(async () => !(await maintain(db)).changing)
      expect(await claim(db.pool, 'c', 'm')).toBe(false)
    },
  )

  it.each([
    ['commit', false],
    ['rollback', true],
  ])('one that claimed during the change is waited for after it: %s, then %s', async (end, first) => {
    const db = await createTestDatabase({ server })
    await claim(db.pool, 'c', 'something')
    await openGeneration(db)
    await maintain(db)
    const during = await begun(db)
    expect(await claim(during, 'c', 'm')).toBe(true)
    await waitFor(async () => !(await maintain(db)).changing)
    const after = await begun(db)
    const answer = claim(after, 'c', 'm')
    await untilBlocked(db, after, during)
    expect(await claim(await begun(db), 'c', 'm', 'skip')).toBe(null)
    await during.query(end)
    expect(await answer).toBe(first)
  })

  it.each(['repeatable read', 'serializable'])(
    'in %s a snapshot from before the change does not take for new what was claimed before it',
    async (isolation) => {
      const db = await createTestDatabase({ server })
      const old = await begun(db, isolation)
      await old.query('select 1 from waybill.inbox')
      expect(await claim(db.pool, 'c', 'm')).toBe(true)
      await nextGeneration(db)
      await expect(claim(old, 'c', 'm')).rejects.toMatchObject({ code: '40001' })
      await old.query(`rollback; begin isolation level ${isolation}`)
      expect(await claim(old, 'c', 'm')).toBe(false)
      expect(await claim(old, 'c', 'new')).toBe(true)
      await old.query('commit')
    },
  )

  it('one effect for each of 400 ids, claimed by all isolation levels while generations come and go', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query('create table effects (id text)')
    let [next, running, changes] = [0, true, 0]
    const consume = async (client: pg.Client, n: number): Promise<void> => {
      const isolation = ['read committed', 'repeatable read', 'serializable'][n % 3]
      // each id is claimed by several, at times that lie far apart
      for (let i = next++; i < 4000 && running; i = next++) {
        const id = `m${i % 2 === 0 ? Math.floor(i / 10) : (i * 7) % 400}`
        for (;;) {
          try {
            await client.query(`begin isolation level ${isolation}`)
            if (n % 2 === 0) await client.query('select 1 from effects limit 1')
            const first = await claim(client, 'c', id, n === 4 ? 'skip' : 'wait')
            if (first === true) await client.query('insert into effects values ($1)', [id])
            await client.query(first === true && i % 11 === 0 ? 'rollback' : 'commit')
            break
          } catch (error) {
            await client.query('rollback')
            if (!['40001', '40P01'].includes((error as pg.DatabaseError).code ?? '')) throw error
          }
        }
      }
    }
    const consumers = Promise.all([0, 1, 2, 3, 4, 5].map((n) => withClient(db.url, (client) => consume(client, n))))
    const changing = (async () => {
      await waitFor(async () => (await db.pool.query('select from effects limit 1')).rowCount === 1)
      while (next < 4000 && running) {
        // only this: what was closed must stay
        await db.pool.query(`update waybill.inbox_generations set opened_at = opened_at - interval '6 days'`)
        if ((await maintain(db)).changing) changes++
      }
    })()
    await Promise.all([consumers, changing]).finally(() => (running = false))
    for (let i = 0; i < 400; i++) {
      if ((await claim(db.pool, 'c', `m${i}`)) === true)
        await db.pool.query('insert into effects values ($1)', [`m${i}`])
    }
    const { rows } = await db.pool.query(
      'select count(*)::int as n, count(distinct id)::int as ids, (select max(generation)::int from waybill.inbox) > 2 as moved from effects',
    )
    expect(rows).toEqual([{ n: 400, ids: 400, moved: true }])
    expect(changes).toBeGreaterThan(2)
  })

  it('go when they are past the retention, and not before; then an id of theirs is new again', async () => {
    const db = await createTestDatabase({ server })
    await claim(db.pool, 'c', 'old')
    await nextGeneration(db)
    await claim(db.pool, 'c', 'young')
    await age(db, 29)
    expect((await maintain(db)).dropped).toEqual([])
    expect(await claim(db.pool, 'c', 'old')).toBe(false)
    await db.pool.query(`update waybill.inbox_settings set retention = '60 days'`)
    await age(db, 2)
    expect(await maintain(db)).toMatchObject({ dropped: [], expired: [] })
    await db.pool.query(`update waybill.inbox_settings set retention = '30 days'`)
    // a claim that runs uses all of them: it is not waited for
    const busy = await begun(db)
    await claim(busy, 'c', 'meanwhile')
    expect(await maintain(db)).toMatchObject({ dropped: [], expired: ['inbox_p1'] })
    await busy.query('commit')
    expect(await maintain(db)).toMatchObject({ dropped: ['inbox_p1'], expired: [] })
    expect(await claim(db.pool, 'c', 'old')).toBe(true)
    expect(await claim(db.pool, 'c', 'young')).toBe(false)
  })

  it('are detached concurrently by the maintenance of a program: claims go on meanwhile', async () => {
    const db = await createTestDatabase({ server })
    await claim(db.pool, 'c', 'old')
    await nextGeneration(db)
    await age(db, 31)
    const busy = await begun(db)
    await claim(busy, 'c', 'meanwhile')
    const detaching = passUnlessBusy(db, db.pool, 3000)
    await waitFor(
      async () =>
        (
          await db.pool.query(
            `select from pg_stat_activity where query like '%waybill-detach%' and state = 'active' and datname = current_database() and pid <> pg_backend_pid()`,
          )
        ).rowCount === 1,
      { what: 'the detachment' },
    )
    await withClient(db.url, async (client) => {
      await client.query(`set lock_timeout = '1s'`)
      expect(await claim(client, 'c', 'during the detachment')).toBe(true)
    })
    expect(await detaching).toMatchObject({ dropped: [], kept: ['inbox_p1'] })
    await busy.query('commit')
    expect(await passUnlessBusy(db, db.pool, 10_000)).toMatchObject({ dropped: ['inbox_p1'], kept: [] })
    expect(await partitions(db)).not.toContain('p1')
    const { tasks } = await runMaintenance(db.pool)
    expect(tasks.find(({ task }) => task === 'inbox generations')).toMatchObject({ result: { ran: true }, error: null })
  })

  it('outlive a sequence and marks that did not come along with the tables, as in a copy', async () => {
    const db = await createTestDatabase({ server })
    await claim(db.pool, 'c', 'old')
    await nextGeneration(db)
    await claim(db.pool, 'c', 'young')
    await age(db, 31)
    await maintain(db)
    await openGeneration(db)
    await db.pool.query(`alter sequence waybill.inbox_step restart;
      update waybill.inbox_generations set mark = '9999999999999' where opened_at is not null`)
    expect(await partitions(db)).not.toContain('p1')
    expect(await claim(db.pool, 'c', 'young')).toBe(false)
    expect(await claim(db.pool, 'c', 'new')).toBe(true)
    const reader = await begun(db, 'repeatable read')
    expect(await claim(reader, 'c', 'new')).toBe(false)
    expect(await claim(reader, 'c', 'its own')).toBe(true)
    await reader.query('commit')
    await waitFor(async () => {
      const pass = await maintain(db)
      return pass.generation === 3 && !pass.changing
    })
    expect(await claim(db.pool, 'c', 'its own')).toBe(false)
    expect(await claim(db.pool, 'c', 'in 3')).toBe(true)
    expect(await generationsOf(db, 'in 3')).toEqual([3])
  })

  // PostgreSQL's ATTACH PARTITION races with sessions that read the list of partitions: such a session does not find the
  // newest until the list changes once more
  it('are not used before another one stands behind them', async () => {
    const db = await createTestDatabase({ server })
    for (let pass = 0; pass < 12; pass++) {
      await claim(db.pool, 'c', `in pass ${pass}`)
      const before = await partitions(db)
      await age(db, 6)
      const { generation, changing } = await maintain(db)
      expect(before).toContain(`p${generation + (changing ? 2 : 1)}`)
      expect(await partitions(db)).toContain(`p${generation + 2}`)
    }
    await waitFor(async () => (await maintain(db)).generation > 2)
  })

  it('stay the same while no other can be attached behind the next one', async () => {
    const db = await createTestDatabase({ server })
    await claim(db.pool, 'c', 'm')
    await age(db, 6)
    await db.pool.query('drop table waybill.inbox_p3; delete from waybill.inbox_generations where generation = 3')
    const vacuum = await begun(db)
    await vacuum.query('lock table waybill.inbox in share update exclusive mode')
    expect(await maintain(db)).toMatchObject({ generation: 1, changing: false, made: [] })
    expect(await claim(db.pool, 'c', 'meanwhile')).toBe(true)
    await vacuum.query('commit')
    expect(await maintain(db)).toMatchObject({ generation: 1, changing: false, made: ['inbox_p3'] })
    expect(await maintain(db)).toMatchObject({ generation: 1, changing: true, made: [] })
  })

  it('are left to one pass at a time, in a transaction of its own', async () => {
    const db = await createTestDatabase({ server })
    const one = await begun(db)
    await one.query('select waybill.inbox_maintain()')
    expect(await maintain(db)).toEqual({ ran: false })
    await one.query('rollback; begin')
    await claim(one, 'c', 'm')
    await expect(one.query('select waybill.inbox_maintain()')).rejects.toMatchObject({ code: '25001' })
  })
})
