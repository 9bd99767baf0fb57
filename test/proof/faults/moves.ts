import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { rebaseRestored } from '../../../src/outbox/rebase.js'
import { type Cluster, says } from '../../support/cluster.js'
import { waitFor } from '../../support/wait-for.js'
import { withClient } from '../../support/with-client.js'
import type { StageSet } from '../stage.js'
import { type Fault, between, nowhere } from './fault.js'

export const moves: readonly Fault[] = [
  {
    name: 'failover',
    title: 'PostgreSQL fails over to an asynchronous stand-by that lags',
    once: true,
    needs: ['lagging stand-by'],
    async strike(scene) {
      const { cluster, standby, address } = scene.set
      if (!standby) throw new Error('no stand-by')
      await standby.stop() // from here on it lags
      await sleep(between(scene, 500, 1500))
      await cluster.crash()
      await standby.start()
      await standby.promote()
      address.switchTo(standby.port)
    },
  },
  {
    name: 'dump-restore',
    title: 'everybody is cut off, and a dump of the database goes on in another server',
    once: true,
    needs: ['new server'],
    async strike({ set: { cluster, newServer, address } }) {
      if (!newServer) throw new Error('no other server')
      address.switchTo(nowhere)
      await cluster.restoreInto(newServer)
      address.switchTo(newServer.port)
    },
  },
  {
    name: 'switch-over',
    title: 'the database moves to another server by logical replication, which leaves its sequences behind',
    once: true,
    needs: ['new server'],
    async strike({ set }) {
      const newServer = await moveByReplication(set)
      await migrateAgain(newServer.url)
      set.address.switchTo(newServer.port)
    },
  },
  {
    name: 'switch-over-early',
    title: 'it moves so, and the application publishes there before `waybill migrate` or a dispatcher has put it right',
    once: true,
    needs: ['new server'],
    async strike({ set, fleet }) {
      const newServer = await moveByReplication(set)
      const moved = 'select coalesce(max(seq), 0)::text as seq from waybill.messages'
      const { rows } = await withClient(newServer.url, (client) => client.query<{ seq: string }>(moved))
      await fleet.whileFrozen(0, () => {
        set.address.switchTo(newServer.port)
        const published = `select count(*) >= 20 as yes from waybill.messages where seq > ${rows[0]?.seq ?? 0}`
        return waitFor(() => says(newServer.url, published), { what: 'the application publishes on the new server' })
      })
    },
  },
  {
    name: 'two-primaries',
    title: 'a stand-by is promoted, and for moments the old primary goes on too, with most sessions of the dispatchers',
    once: true,
    needs: ['stand-by'],
    async strike(scene) {
      const { cluster, standby, applications, dispatchers } = scene.set
      if (!standby) throw new Error('no stand-by')
      // nothing that a publisher commits is to be on the old one alone
      applications.switchTo(nowhere)
      await standby.caughtUpWith(cluster)
      await standby.promote()
      applications.switchTo(standby.port)
      // one session after another ends, and comes again with the new one
      const until = performance.now() + between(scene, 5000, 8000)
      while (performance.now() < until) {
        dispatchers.switchTo(standby.port, 0.8)
        await sleep(between(scene, 300, 900))
      }
      await cluster.crash()
    },
  },
  {
    name: 'install-promote',
    title:
      'a stand-by streams, `waybill migrate` runs on its primary, and it is promoted at once; then the application publishes',
    once: true,
    needs: ['promoted stand-by'],
    undisturbed: true,
    strike: () => sleep(1000),
  },
]

/** Everything is on the new server, sequences apart. Nobody comes to the old one any more, and not yet to the new one. */
async function moveByReplication({ cluster, newServer, address }: StageSet): Promise<Cluster> {
  if (!newServer) throw new Error('no other server')
  const replication = await cluster.replicateInto(newServer)
  address.switchTo(nowhere)
  await replication.end()
  return newServer
}

/** What `waybill migrate` does on a server to which everything has moved. */
async function migrateAgain(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  try {
    await rebaseRestored(pool)
  } finally {
    await pool.end()
  }
}
