import { expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const database = useDatabase()
/** However slow the machine is, it is not given up before the crash. */
const settings = { maxAttempts: 1000 }

/** Messages that are parked while an answer, which never comes, holds the cursor before them. Ended by a crash. */
async function parkedAhead(): Promise<{ slow: string; bad: string; later: string }> {
  const { pool } = database()
  const slow = await publish(pool, 'order.created', {}, { key: 'slow' })
  const bad = await publish(pool, 'order.created', {}, { key: 'bad' })
  const later = await publish(pool, 'order.created', {}, { key: 'bad' })
  const adapter = new ScriptedAdapter({ maxBatch: 1 })
  adapter.answer = ({ id }) =>
    id === slow
      ? new Promise<undefined>(() => undefined)
      : { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
  const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter, settings } } })
  await waitFor(
    async () => (await pool.query('select from waybill.deliveries where message_id = $1', [later])).rowCount === 1,
  )
  await crash(dispatcher)
  return { slow, bad, later }
}

async function deliverAll(): Promise<string[]> {
  const { pool } = database()
  const adapter = new ScriptedAdapter({ maxBatch: 1 })
  const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter, settings } } })
  try {
    await dispatcher.drain(AbortSignal.timeout(20_000))
    await waitFor(async () => (await pool.query('select from waybill.deliveries')).rowCount === 0)
    return adapter.ids()
  } finally {
    await dispatcher.stop({ drainMs: 1000 })
  }
}

it('goes on after a restart when a parked delivery lies ahead of the cursor', async () => {
  const { slow, bad, later } = await parkedAhead()
  const ids = await deliverAll()
  expect(ids.sort()).toEqual([slow, bad, later].sort())
  expect(ids.indexOf(bad)).toBeLessThan(ids.indexOf(later))
})

it('does not send what was dropped ahead of the cursor, and says no more that it is undelivered', async () => {
  const { pool } = database()
  const { slow, bad, later } = await parkedAhead()
  const { rows } = await pool.query<{ n: number }>(
    `select waybill.drop_deliveries('paid by hand', p_message => $1) as n`,
    [bad],
  )
  expect(rows[0]?.n).toBe(1)
  const undelivered = await pool.query<{ message_id: string }>(
    'select message_id from waybill.undelivered order by seq',
  )
  expect(undelivered.rows.map((row) => row.message_id)).toEqual([slow, later])
  expect((await deliverAll()).sort()).toEqual([slow, later].sort())
  // and not by the one after that either
  expect(await deliverAll()).toEqual([])
})

/** Ends it with a call under way whose answer never comes. */
async function crash(dispatcher: { stop(options: { drainMs: number }): Promise<void> }): Promise<void> {
  await Promise.race([dispatcher.stop({ drainMs: 0 }), new Promise((resolve) => setTimeout(resolve, 500))])
  await database().pool.query('update waybill.lanes set holder = null, dispatcher = null')
}
