import { describe, expect, it } from 'vitest'
import { createTestDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { cli } from './cli-fixture.js'

describe('where nothing was ever deployed', () => {
  it('undelivered says that what lies in the log goes nowhere, and exits with 1', async () => {
    const database = await createTestDatabase()
    const { pool } = database
    const env = { WAYBILL_DATABASE_URL: database.url }
    const quiet = await cli(['undelivered'], { env })
    expect(quiet).toMatchObject({ code: 0, stdout: 'nothing is undelivered\n' })

    const first = await publish(pool, 'order.created', {})
    await publish(pool, 'order.paid', {})
    const { rows } = await pool.query(
      'select destination, lane_id, state, message_id, error_code, messages::int from waybill.undelivered',
    )
    const row = { destination: '', state: 'undeployed', error_code: 'NOT_DEPLOYED', messages: 2 }
    expect(rows).toEqual([{ ...row, lane_id: 0, message_id: first }])

    const told = await cli(['undelivered'], { env })
    expect(told.code).toBe(1)
    expect(told.stdout).toContain('no destination is deployed: up to 2 messages lie in the log and go nowhere')
    // whatever is asked for: that no message fits would be no news
    const asked = await cli(['undelivered', '--topic', 'order.none', '--json'], { env })
    expect(asked.code).toBe(1)
    expect(JSON.parse(asked.stdout)).toMatchObject({ pending: [{ state: 'undeployed', id: first, messages: 2 }] })

    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter: new ScriptedAdapter() } } })
    await dispatcher.stop()
    const after = await cli(['undelivered', '--state', 'dead'], { env })
    expect(after).toMatchObject({ code: 0, stdout: 'nothing that fits is undelivered\n' })
    expect((await pool.query(`select from waybill.undelivered where state = 'undeployed'`)).rowCount).toBe(0)
  })
})
