import fc from 'fast-check'
import { expect, it } from 'vitest'
import { findReread } from '../../src/outbox/sequence-guard.js'
import { useDatabase } from '../support/database.js'
import { withClient } from '../support/with-client.js'

const database = useDatabase()

/** What is stored of a lane's deltas: its snapshot's xmax, and the floor. Steps may be none. */
const deltas = fc.array(fc.record({ xids: fc.nat(4), seqs: fc.integer({ min: -3, max: 6 }) }), {
  minLength: 1,
  maxLength: 8,
})
const messages = fc.array(fc.record({ xid: fc.integer({ min: 1, max: 40 }), seq: fc.integer({ min: 1, max: 60 }) }), {
  maxLength: 25,
})

it('finds each message whose seq lies where a lane no longer looks, as asking every delta about every message does', async () => {
  await withClient(database().url, async (client) => {
    await client.query(`insert into waybill.destinations (name, kind, generation) values ('crm', 'test', 1)`)
    const { rows } = await client.query<{ id: number }>(
      `insert into waybill.lanes (destination, shard, shards) values ('crm', 0, 1) returning id`,
    )
    const lane = rows[0]?.id ?? 0
    await fc.assert(
      fc.asyncProperty(deltas, messages, async (steps, log) => {
        let [xmax, floor] = [10, 10]
        const stored = steps.map(({ xids, seqs }) => {
          xmax += xids
          floor = Math.max(0, floor + seqs)
          return { xmax, floor }
        })
        await client.query('begin')
        try {
          await client.query(
            `insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, to_snapshot, to_floor, ceiling)
             select $1, n, '1:1:', 0, format('%1$s:%1$s:', xmax)::pg_snapshot, floor, floor
               from unnest($2::int[], $3::int[]) with ordinality d(xmax, floor, n)`,
            [lane, stored.map((d) => d.xmax), stored.map((d) => d.floor)],
          )
          await client.query(
            `insert into waybill.messages (id, topic, payload, xid, seq)
             select gen_random_uuid(), 'a.b', '{}', xid::text::xid8, seq from unnest($1::int[], $2::int[]) m(xid, seq)`,
            [log.map((m) => m.xid), log.map((m) => m.seq)],
          )
          const missed = log.filter((m) => stored.some((d) => m.xid >= d.xmax && m.seq <= d.floor))
          const found = await findReread(client)
          expect(found.map(({ laneId, floor: above }) => [laneId, above])).toEqual(
            missed.length === 0 ? [] : [[lane, Math.min(...missed.map((m) => m.seq)) - 1]],
          )
          // read again is what that snapshot does not see: every one of them
          const seen = Number(found[0]?.snapshot.split(':')[1] ?? 0)
          for (const { xid } of missed) expect(xid).toBeGreaterThanOrEqual(seen)
        } finally {
          await client.query('rollback')
        }
      }),
      { numRuns: 400 },
    )
  })
})
