import { expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const database = useDatabase()
/** However slow the machine is, it is not given up before the crash. */
const settings = { maxAttempts: 1000 }

it('goes on after a restart when a parked delivery lies ahead of the cursor', async () => {
  const { pool } = database()
  const slow = await publish(pool, 'order.created', {}, { key: 'slow' })
  const bad = await publish(pool, 'order.created', {}, { key: 'bad' })
  const later = await publish(pool, 'order.created', {}, { key: 'bad' })

  // The first dispatcher parks a message while an answer still holds the cursor before it, and is gone.
  const first = new ScriptedAdapter({ maxBatch: 1 })
  first.answer = ({ id }) =>
    id === slow
      ? new Promise<undefined>(() => undefined)
      : { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
  const before = await startDispatcher({ pool, destinations: { crm: { adapter: first, settings } } })
  await waitFor(async () => (await pool.query('select from waybill.deliveries where message_id = $1', [bad])).rowCount)
  await crash(before)

  const second = new ScriptedAdapter({ maxBatch: 1 })
  const after = await startDispatcher({ pool, destinations: { crm: { adapter: second, settings } } })
  try {
    await after.drain(AbortSignal.timeout(10_000))
    await waitFor(async () => (await pool.query('select from waybill.deliveries')).rowCount === 0)
    expect(second.ids().sort()).toEqual([slow, bad, later].sort())
    expect(second.ids().indexOf(bad)).toBeLessThan(second.ids().indexOf(later))
  } finally {
    await after.stop({ drainMs: 1000 })
  }
})

/** Ends it with a call under way whose answer never comes. */
async function crash(dispatcher: { stop(options: { drainMs: number }): Promise<void> }): Promise<void> {
  await Promise.race([dispatcher.stop({ drainMs: 0 }), new Promise((resolve) => setTimeout(resolve, 500))])
  await database().pool.query('update waybill.lanes set holder = null, dispatcher = null')
}
