import { describe, expect, it } from 'vitest'
import type { DispatcherService } from '../../src/app/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { patienceMs, waitFor } from '../support/wait-for.js'
import { expectAllInOrder, publishSteadily, said, startService } from './outage-fixture.js'

describe.each(['pg18', 'pg15'] as const)('through PgBouncer in transaction mode to %s', (server) => {
  /** Two lanes of a webhook and one of jobs, by dispatchers whose sessions are the pooler's. */
  async function dispatching(direct: boolean) {
    const database = await createTestDatabase({ server })
    const receiver = await startHttpReceiver()
    const start = () =>
      startService(database, {
        database: { url: database.pgbouncerUrl, ...(direct && { directUrl: database.url }) },
        destinations: {
          crm: { kind: 'webhook', options: { url: receiver.url, allowNetworks: ['127.0.0.0/8'], shards: 2 } as object },
          work: { kind: 'jobs', options: { queue: 'orders', shards: 2 } as object },
        },
        routes: { '**': ['crm', 'work'] },
        dispatcher: { leaseMs: 6000 },
      })
    const arrived = () => receiver.received().map(({ body }) => said(body))
    const jobs = async () => {
      const { rows } = await database.pool.query<{ args: string }>(
        `select args::text from waybill.jobs where queue = 'orders' order by run_at, id`,
      )
      return rows.map(({ args }) => said(args))
    }
    return { database, start, arrived, jobs }
  }

  const holds = (service: DispatcherService, lanes: number): Promise<unknown> =>
    waitFor(() => service.lanes().length === lanes, { what: `${lanes} lanes` })

  it.each([
    ['with a direct URL for LISTEN', true],
    ['without one', false],
  ])(
    '%s: two dispatchers share the lanes, and one that starts again goes on from where it stood',
    async (_, direct) => {
      const { database, start, arrived, jobs } = await dispatching(direct)
      const publisher = publishSteadily(database.pool)
      const first = await start()
      await holds(first.service, 4)
      const second = await start()
      await Promise.all([holds(first.service, 2), holds(second.service, 2)])
      const of = ({ delivered }: typeof first): number => [...delivered.values()].reduce((sum, n) => sum + n, 0)
      const before = [of(first), of(second)]
      await waitFor(() => of(first) > (before[0] ?? 0) && of(second) > (before[1] ?? 0))
      await first.service.stop()
      await holds(second.service, 4)
      await second.service.stop()
      const third = await start()
      await holds(third.service, 4)
      await publisher.stop()
      await third.service.drain(AbortSignal.timeout(patienceMs))
      expect(expectAllInOrder(arrived(), publisher.published)).toBe(0)
      expect(expectAllInOrder(await jobs(), publisher.published)).toBe(0)
      for (const { events } of [first, second, third]) expect(events).toEqual([])
      await sleepsOrPolls(database, third.service, direct)
      const count = arrived().length
      await database.pool.query(`select waybill.publish('order.created', '{"key":"last","n":0}')`)
      await waitFor(() => arrived().length > count, { what: 'the last message' })
      expect(arrived().at(-1)).toEqual({ key: 'last', n: 0 })
    },
  )

  /** It listens on the direct URL and sleeps; without one it never does. */
  async function sleepsOrPolls(database: TestDatabase, service: DispatcherService, direct: boolean): Promise<void> {
    const listeners = `select from pg_stat_activity where datname = current_database() and application_name = 'waybill listener'`
    if (direct) {
      await waitFor(() => service.asleep, { what: 'sleep' })
      expect((await database.pool.query(listeners)).rowCount).toBe(1)
    } else {
      const { rows } = await database.pool.query(
        'select last_value from waybill.asleep where is_called and last_value > 0',
      )
      expect({ asleep: service.asleep, tickets: rows }).toEqual({ asleep: false, tickets: [] })
    }
  }
})
