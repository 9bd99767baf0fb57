import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { withClient } from '../support/with-client.js'
import { fillBigLog, setStatistics, type Statistics } from './big-log.js'
import { type Asked, findPlaces, inlineStatements, schemaFunctions, sqlFiles, views } from './statements.js'
import { faultsOf, PlanWatch } from './plan-watch.js'

// No times: plans are held to what they read. With the server's own jit and parallel settings.
describe.each(['pg15', 'pg18'] as const)('at 50,000,000 messages, 60 ranges and 200 lanes, on %s', (server) => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await createTestDatabase({ server })
    await withClient(database.url, (client) => fillBigLog(client))
  })
  afterAll(() => database.drop())

  describe.each<Statistics>(['known', 'stale', 'none'])('with statistics: %s', (statistics) => {
    let watch: PlanWatch
    let jitAboveCost: number

    beforeAll(async () => {
      await withClient(database.url, (client) => setStatistics(client, statistics))
      watch = await PlanWatch.start(database.url)
      const { rows } = await watch.client.query<{ jit: string; cost: number; workers: number }>(
        `select current_setting('jit') as jit, current_setting('jit_above_cost')::float8 as cost,
                current_setting('max_parallel_workers_per_gather')::int as workers`,
      )
      const [settings] = rows
      // else neither rule could fail
      expect(settings).toMatchObject({ jit: 'on' })
      expect(settings?.workers).toBeGreaterThan(0)
      jitAboveCost = settings?.cost ?? 0
    })
    afterAll(() => watch.end())

    const hold = async (asked: readonly Asked[]): Promise<void> => {
      expect(asked.length).toBeGreaterThan(0)
      const faults: Record<string, string[]> = {}
      for (const { name, text, values, bounds } of asked) {
        const plans = await watch.of(text, values, bounds)
        if (plans.length === 0) faults[name] = ['ran by no plan that was seen']
        for (const plan of plans) {
          const found = faultsOf(plan, jitAboveCost, bounds)
          if (found.length > 0) (faults[name] ??= []).push(...found.slice(0, 3), `in: ${plan.text.slice(0, 80)}`)
        }
      }
      expect(faults).toEqual({})
    }

    it('every .sql file reads what it must, uncompiled, by itself', async () => {
      await hold(await sqlFiles(await findPlaces(watch.client)))
    })

    it('so does every view', async () => {
      await hold(await views(watch.client))
    })

    it('and every function, with all that it runs', async () => {
      await hold(await schemaFunctions(watch.client, await findPlaces(watch.client)))
    })
  })
})

it('no other statement reads the log: one in TypeScript would not be seen here', async () => {
  expect(await inlineStatements()).toEqual([])
})
