import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { type Arrival, judge } from '../../scripts/demo/verdict.js'
import { useDispatching } from '../integration/dispatching-fixture.js'
import { type Configuration, Deployments, type Note } from '../proof/configurations.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const topics = ['order.changed', 'order.paid', 'audit.noted']
const keys = 12

const generations: readonly Configuration[] = [
  { generation: 1, wants: { crm: ['order.changed'], lake: ['**'], bank: ['order.changed', 'audit.noted'] } },
  { generation: 2, wants: { crm: ['**'], lake: ['**'], bank: ['order.changed', 'order.paid'] } },
  { generation: 3, wants: { crm: ['order.paid'], lake: ['**'], bank: ['**'] } },
]

interface Published extends Arrival {
  readonly note: Note
}

/** Publishes messages of one key, each in a transaction, without a pause. */
async function publishOn(pool: pg.Pool, key: string, deployments: Deployments, to: Published[], signal: AbortSignal) {
  for (let version = 1; !signal.aborted; version++) {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const { rows } = await client.query<{ seen: number }>('select min(generation) as seen from waybill.destinations')
      const topic = topics[Math.floor(Math.random() * topics.length)] as string
      const note: Note = { topic, seen: rows[0]?.seen as number, at: Date.now() }
      const id = await publish(client, topic, { key, version }, { key })
      await client.query('commit')
      to.push({ id, key, version, note: { ...note, until: deployments.newest.generation } })
    } finally {
      client.release()
    }
  }
}

describe.each(['pg18', 'pg15'] as const)(
  'dispatchers are replaced under publishers that never stop, on %s',
  (server) => {
    const { pool, start } = useDispatching(server)

    it('each message is treated by the routes that its transaction could see', async () => {
      const adapters: Record<string, ScriptedAdapter> = {
        ...{ crm: new ScriptedAdapter(), lake: new ScriptedAdapter(), bank: new ScriptedAdapter() },
      }
      const run = ({ generation, wants }: Configuration) =>
        start({
          ...{ leaseMs: 1500, generation, fingerprint: `generation ${generation}` },
          destinations: Object.fromEntries(
            Object.entries(wants).map(([name, patterns]) => [
              name,
              { adapter: adapters[name] as ScriptedAdapter, patterns: [...patterns], settings: { shards: 2 } },
            ]),
          ),
        })
      const [first, ...later] = generations as [Configuration, ...Configuration[]]
      const deployments = new Deployments(first)
      let running = [await run(first), await run(first), await run(first)]
      const published: Published[] = []
      const stop = new AbortController()
      const publishers = Array.from({ length: keys }, (_, i) =>
        publishOn(pool(), `key-${i}`, deployments, published, stop.signal),
      )
      await waitFor(() => (adapters['lake']?.delivered.length ?? 0) > 100)

      for (const next of later) {
        deployments.begin(next)
        const replaced = []
        for (const old of running) {
          replaced.push(await run(next))
          await sleep(700)
          await old.stop()
        }
        running = replaced
      }
      stop.abort()
      await Promise.all(publishers)
      await waitFor(
        async () => {
          const { rows } = await pool().query<{ lag: string }>(
            'select sum(lag_messages)::text as lag from waybill.lane_status',
          )
          return rows[0]?.lag === '0'
        },
        { timeoutMs: 30_000 },
      )

      for (const [name, adapter] of Object.entries(adapters)) {
        const those = (answer: string) =>
          published.filter(({ note }) => deployments.isWanted(name, note) === answer).map(({ id }) => ({ id }))
        const arrivals = adapter.delivered.map(({ id, payload }): Arrival => {
          const { key, version } = JSON.parse(payload.toString()) as { key: string; version: number }
          return { id, key, version }
        })
        const { lost, phantoms, outOfOrder } = judge(those('yes'), arrivals, { optional: those('either') })
        expect({ name, lost, phantoms, outOfOrder }).toEqual({ name, lost: 0, phantoms: 0, outOfOrder: 0 })
        // and most were for one configuration alone
        expect(those('either').length).toBeLessThan(published.length / 3)
      }
    })
  },
)
