import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { applyRoles } from '../../src/db/roles.js'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { type LogLine, memoryLogger } from '../integration/dispatching-fixture.js'
import { onFileEnd } from '../support/cleanup.js'
import { Cluster } from '../support/cluster.js'
import { ScriptedAdapter, type TestDispatcherOptions, publish, startDispatcher } from '../support/dispatching.js'
import { eventually, waitFor } from '../support/wait-for.js'

const standbyName = 'second'

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: 5000 })
  pool.on('error', () => undefined)
  onFileEnd(() => pool.end())
  return pool
}

interface Stage {
  readonly primary: Cluster
  readonly standby: Cluster
  readonly pool: pg.Pool
  readonly adapter: ScriptedAdapter
  readonly log: readonly LogLine[]
  readonly dispatcher: Dispatcher
  readonly pauses: string[]
}

/** A primary, its stand-by, and a dispatcher that waits for it. */
async function stage(options: Partial<TestDispatcherOptions> = {}): Promise<Stage> {
  // a dead receiver must not be noticed by a time-out: the tests say when it is back
  const primary = await Cluster.create({ wal_sender_timeout: '0', wal_writer_delay: '10s' })
  const standby = await primary.standby({ cluster_name: standbyName })
  const pool = openPool(primary.url)
  const adapter = new ScriptedAdapter()
  const logger = memoryLogger()
  const pauses: string[] = []
  const dispatcher = await startDispatcher({
    pool,
    destinations: { crm: { adapter, patterns: ['**'], settings: { shards: 2 } } },
    listenUrl: primary.url,
    standby: standbyName,
    logger,
    hooks: {
      onPause: ({ shard }, { kind }) => void pauses.push(`${shard} ${kind}`),
      onResume: ({ shard }) => void pauses.push(`${shard} goes on`),
    },
    ...options,
  })
  onFileEnd(() => dispatcher.stop({ drainMs: 0 }))
  return { primary, standby, pool, adapter, log: logger.lines, dispatcher, pauses }
}

async function publishMany(pool: pg.Pool, topic: string, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n++) ids.push(await publish(pool, topic, { n }, { key: `k${n}` }))
  return ids
}

/** The process that receives the log at the stand-by: stopped, it stays connected and flushes nothing. */
async function receiver(standby: Cluster): Promise<number> {
  const pool = openPool(standby.url)
  return waitFor(async () => (await pool.query<{ pid: number }>('select pid from pg_stat_wal_receiver')).rows[0]?.pid)
}

/** Its parent has taken notice of its end. */
function isReaped(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

const lanes = async (pool: pg.Pool): Promise<object[]> =>
  (
    await pool.query<object>(
      'select state, pause_kind as kind, pause_reason as why, paused_at is not null as since from waybill.lanes order by shard',
    )
  ).rows
const waits = (why: RegExp) => ({
  state: 'paused',
  kind: 'standby',
  why: expect.stringMatching(why) as string,
  since: true,
})
const goesOn = { state: 'active', kind: null, why: null, since: false }
const warnings = (log: readonly LogLine[]): string[] =>
  log.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message)

describe('messages that a stand-by must have before they are sent', () => {
  it('are sent while it streams; wait, and the lanes say so, while it is away; and are sent when it is back', async () => {
    const { standby, pool, adapter, log, pauses } = await stage()
    const before = await publishMany(pool, 'before', 10)
    await waitFor(() => adapter.delivered.length === 10)

    await standby.stop()
    const meanwhile = await publishMany(pool, 'meanwhile', 10)
    await eventually(async () => expect(await lanes(pool)).toEqual([1, 2].map(() => waits(/does not stream/))))
    expect(adapter.ids().sort()).toEqual([...before].sort())
    expect(warnings(log)).toEqual([
      'lanes wait: stand-by "second" does not stream: start it, or name another in dispatcher.durability',
    ])

    await standby.start({ cluster_name: standbyName })
    await waitFor(() => adapter.delivered.length === 20)
    expect(adapter.ids().sort()).toEqual([...before, ...meanwhile].sort())
    await eventually(async () => expect(await lanes(pool)).toEqual([goesOn, goesOn]))
    // told once the row is written
    await eventually(() => expect([...pauses].sort()).toEqual(['0 goes on', '0 standby', '1 goes on', '1 standby']))
    expect(warnings(log)).toHaveLength(1)
  })

  it('are not sent while it is connected and flushes nothing: after its promotion nothing was sent that it lacks', async () => {
    const { primary, standby, pool, adapter, dispatcher } = await stage()
    const before = await publishMany(pool, 'before', 10)
    await waitFor(() => adapter.delivered.length === 10)
    const pid = await receiver(standby)
    process.kill(pid, 'SIGSTOP')
    await publishMany(pool, 'lost', 10)
    await eventually(async () => expect(await lanes(pool)).toEqual([1, 2].map(() => waits(/has not flushed/))))
    await primary.crash()
    process.kill(pid, 'SIGKILL')
    // the server starts itself again over that, and would not hear of a promotion in between
    await waitFor(() => isReaped(pid))
    await waitFor(() => standby.answers())
    await standby.promote()
    await dispatcher.stop({ drainMs: 0 })
    const promoted = openPool(standby.url)
    const kept = await promoted.query<{ id: string }>('select id from waybill.messages order by seq')
    expect(kept.rows.map(({ id }) => id)).toEqual(before)
    expect(adapter.ids().sort()).toEqual([...before].sort())
  })

  it('are sent when it has flushed them, although it has not replayed them; those of asynchronous commits too', async () => {
    const { primary, standby, pool, adapter } = await stage()
    const reader = openPool(standby.url)
    await reader.query('select pg_wal_replay_pause()')
    const sloppy = openPool(`${primary.url}?options=-csynchronous_commit%3Doff`)
    await publishMany(pool, 'careful', 10)
    await publishMany(sloppy, 'sloppy', 10)
    await waitFor(() => adapter.delivered.length === 20)
    const { rows } = await reader.query<{ n: number }>('select count(*)::int as n from waybill.messages')
    expect(rows).toEqual([{ n: 0 }])
  })

  it('wait where the role may not see the stand-by, until it is granted', async () => {
    const primary = await Cluster.create()
    await primary.standby({ cluster_name: standbyName })
    const owner = openPool(primary.url)
    const client = await owner.connect()
    await applyRoles(client)
    await client.query('create role sender login; grant waybill_dispatcher to sender')
    const url = new URL(primary.url)
    url.username = 'sender'
    const pool = openPool(url.href)
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } }, standby: standbyName })
    await publish(owner, 'order.created', {})
    await eventually(async () => expect(await lanes(owner)).toEqual([waits(/grant pg_read_all_stats/)]))
    expect(adapter.attempts).toEqual([])
    // a grant that was made before counts as made
    for (const created of [[], []])
      expect(await applyRoles(client, { standby: true })).toMatchObject({ created, adminSql: null })
    client.release()
    await waitFor(() => adapter.delivered.length === 1)
    await eventually(async () => expect(await lanes(owner)).toEqual([goesOn]))
    await dispatcher.stop()
  })

  it('are waited for by one who goes on in the middle of what was read without waiting', async () => {
    const { standby, pool, dispatcher } = await stage()
    await dispatcher.stop()
    const hasty = new ScriptedAdapter({ concurrency: 1, maxBatch: 1 })
    hasty.answer = async (_message, { signal }) => {
      if (hasty.attempts.length > 10) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      return signal.aborted ? undefined : { kind: 'delivered' }
    }
    const destinations = { crm: { adapter: hasty, settings: { shards: 2, window: 5 } } }
    await standby.stop()
    await publishMany(pool, 'many', 100)
    const local = await startDispatcher({ pool, destinations, pageSize: 5, generation: 2, fingerprint: 'local' })
    await waitFor(() => hasty.delivered.length === 10)
    await local.stop({ drainMs: 0 })
    const { rows } = await pool.query<{ middle: boolean }>(
      `select bool_or(p.after < d.ceiling) as middle from waybill.lanes l
        cross join lateral (select * from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
         join waybill.deltas d on d.lane_id = l.id and d.n = p.delta`,
    )
    expect(rows).toEqual([{ middle: true }])

    const adapter = new ScriptedAdapter()
    const careful = await startDispatcher({
      pool,
      destinations: { crm: { adapter, settings: { shards: 2 } } },
      generation: 3,
      fingerprint: 'careful',
      standby: standbyName,
    })
    await eventually(async () => expect(await lanes(pool)).toEqual([1, 2].map(() => waits(/does not stream/))))
    expect(adapter.attempts).toEqual([])
    await standby.start({ cluster_name: standbyName })
    await waitFor(() => new Set([...hasty.ids(), ...adapter.ids()]).size === 100)
    await careful.stop()
  })

  it('keep nobody from stopping; the next dispatcher finds the lane as it was left, and waits or goes on', async () => {
    const { standby, pool, adapter, dispatcher } = await stage()
    await standby.stop()
    // for one lane; the other has nothing to deliver that would show that it goes on
    const ids = await publishMany(pool, 'meanwhile', 1)
    await eventually(async () => expect(await lanes(pool)).toEqual([1, 2].map(() => waits(/does not stream/))))
    await dispatcher.stop()
    expect(adapter.attempts).toEqual([])
    const other = new ScriptedAdapter()
    const next = await startDispatcher({
      pool,
      destinations: { crm: { adapter: other, settings: { shards: 2 } } },
      generation: 2,
      fingerprint: 'without a stand-by',
    })
    await waitFor(() => other.delivered.length === 1)
    expect(other.ids()).toEqual(ids)
    await eventually(async () => expect(await lanes(pool)).toEqual([goesOn, goesOn]))
    await next.stop()
  })
})
