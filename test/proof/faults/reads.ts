import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../../support/wait-for.js'
import { withClient } from '../../support/with-client.js'
import { type Fault, between } from './fault.js'

export const readFaults: readonly Fault[] = [
  {
    name: 'routed-reads',
    title: 'a router sends the plain SELECTs of the dispatchers to a stand-by that lags, for moments',
    needs: ['stand-by', 'read router'],
    undisturbed: true,
    async strike(scene) {
      const { standby, router } = scene.set
      if (!standby || !router) throw new Error('no stand-by, or no router')
      const before = router.routed
      router.route(true)
      try {
        await waitFor(() => router.routed > before, { what: 'a statement that is routed to the stand-by' })
        await withClient(standby.url, (client) => client.query('select pg_wal_replay_pause()'))
        await sleep(between(scene, 1500, 4000))
      } finally {
        await withClient(standby.url, (client) => client.query('select pg_wal_replay_resume()'))
        await sleep(500)
        router.route(false)
      }
    },
  },
  {
    name: 'hidden-rows',
    title: 'row-level security is enabled on the log, or on all tables of Waybill, and disabled seconds later',
    needs: ['dispatcher role'],
    undisturbed: true,
    async strike(scene) {
      const tables = scene.random() < 0.5 ? ['messages'] : await tablesOf(scene.set.url)
      try {
        await secure(scene.set.url, tables, 'enable')
        await sleep(between(scene, 2000, 5000))
      } finally {
        await secure(scene.set.url, tables, 'disable')
      }
    },
  },
]

async function tablesOf(url: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ name: string }>(
      `select relname::text as name from pg_class
        where relnamespace = 'waybill'::regnamespace and relkind in ('r', 'p') and not relispartition`,
    ),
  )
  return rows.map(({ name }) => name)
}

/** One by one: a transaction that locked all of them would wait for dispatchers, and they for it. */
async function secure(url: string, tables: readonly string[], how: 'enable' | 'disable'): Promise<void> {
  await withClient(url, async (client) => {
    for (const table of tables)
      await client.query(`alter table waybill.${client.escapeIdentifier(table)} ${how} row level security`)
  })
}
