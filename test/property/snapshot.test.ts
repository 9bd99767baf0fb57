import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isVisibleIn, parseSnapshot } from '../../src/outbox/snapshot.js'
import { useDatabase } from '../support/database.js'

/** Small xids, just before and after their 32 bits wrap (xids whose low half is below 3 are not given out), and far ones. */
const bases = fc.constantFrom(3n, 1000n, 2n ** 32n - 60n, 2n ** 32n + 3n, 2n ** 53n + 3n, 2n ** 62n + 3n)

const snapshots = fc
  .tuple(
    bases,
    // so that the base itself has ended: one is visible
    fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 12, size: 'max' }),
    fc.integer({ min: 1, max: 10 }),
  )
  .map(([base, offsets, above]) => {
    const running = [...new Set(offsets)].sort((a, b) => a - b)
    const xmin = running[0] ?? 5
    const xmax = (running.at(-1) ?? xmin) + above
    const text = `${base + BigInt(xmin)}:${base + BigInt(running.length > 0 ? xmax : xmin)}:${running.map((o) => base + BigInt(o)).join(',')}`
    return {
      text,
      xids: Array.from({ length: 45 }, (_, i) => base - 2n + BigInt(i)).filter((xid) => (xid & 0xffffffffn) >= 3n),
    }
  })

describe.each(['pg18', 'pg15'] as const)('a snapshot read outside %s', (server) => {
  const database = useDatabase({ server })

  it('sees exactly the transactions that pg_visible_in_snapshot sees', async () => {
    await fc.assert(
      fc.asyncProperty(snapshots, async ({ text, xids }) => {
        const { rows } = await database().pool.query<{ xid: string; visible: boolean }>(
          `select x::text as xid, pg_visible_in_snapshot(x, $1::pg_snapshot) as visible from unnest($2::xid8[]) x`,
          [text, xids.map(String)],
        )
        const snapshot = parseSnapshot(text)
        expect(rows.map(({ xid }) => ({ xid, visible: isVisibleIn(xid, snapshot) }))).toEqual(rows)
        expect(rows.some((row) => row.visible)).not.toBe(rows.every((row) => row.visible))
      }),
      { numRuns: 150 },
    )
  })

  it('knows the transactions that are running now', async () => {
    const { pool } = database()
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
    try {
      const xids: string[] = []
      for (const client of clients) {
        await client.query('begin')
        const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
        xids.push(rows[0]?.xid as string)
      }
      await clients[1]?.query('commit')
      const { rows } = await pool.query<{ text: string }>('select pg_current_snapshot()::text as text')
      const snapshot = parseSnapshot(rows[0]?.text as string)
      expect(xids.map((xid) => isVisibleIn(xid, snapshot))).toEqual([false, true, false])
      expect(snapshot.running).toContain(xids[0])
      // the last that ended bounds the snapshot: those after it are above it, not in the list
      expect(isVisibleIn(String(snapshot.xmax), snapshot)).toBe(false)
    } finally {
      for (const client of clients) {
        await client.query('rollback')
        client.release()
      }
    }
  })
})
