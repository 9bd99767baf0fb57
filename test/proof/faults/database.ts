import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { waitFor } from '../../support/wait-for.js'
import { evilSchema, hostileSettings } from '../../support/server-settings.js'
import { withClient } from '../../support/with-client.js'
import { type Fault, between, lasting, leaseMs, step } from './fault.js'

export const databaseFaults: readonly Fault[] = [
  {
    name: 'database-restart',
    title: 'PostgreSQL is restarted',
    async strike({ set }) {
      await set.cluster.stop()
      await set.cluster.start()
    },
  },
  {
    name: 'database-crash',
    title: 'PostgreSQL crashes (immediate stop)',
    async strike(scene) {
      await scene.set.cluster.crash()
      await sleep(between(scene, 0, 2000))
      await scene.set.cluster.start()
    },
  },
  {
    name: 'terminate',
    title: 'sessions are ended (pg_terminate_backend)',
    strike: ({ set }) => endSessions(set.url, 0.5),
  },
  {
    name: 'holder',
    title: 'a session holds a transaction with an xid and a snapshot open',
    async strike(scene) {
      await withClient(scene.set.url, async (client) => {
        await client.query('begin isolation level repeatable read; select pg_current_xact_id()')
        await sleep(between(scene, 3000, 6000))
        await client.query('commit')
      })
    },
  },
  {
    name: 'database-silent',
    title: 'the network to PostgreSQL swallows everything',
    strike: lasting(1.5 * leaseMs, 3 * leaseMs, async ({ set: { databaseLink } }) => {
      databaseLink.swallow()
      return () => databaseLink.restore()
    }),
  },
  {
    name: 'database-forgotten',
    title: 'the network forgets all connections with PostgreSQL without a word, and lets new ones through',
    async strike({ set: { databaseLink } }) {
      databaseLink.forget()
    },
  },
  {
    name: 'connections',
    title: 'sessions are ended, and others take all connections of PostgreSQL',
    async strike(scene) {
      const { cluster } = scene.set
      const grabbed: pg.Client[] = []
      try {
        const until = performance.now() + between(scene, 3000, 5000)
        while (performance.now() < until) {
          await endSessions(cluster.url, 1).catch(() => undefined)
          while (await grab(cluster.url, grabbed));
          await sleep(100)
        }
      } finally {
        await Promise.all(grabbed.map((client) => client.end()))
      }
    },
  },
  {
    name: 'disk-full',
    title: "the disk of PostgreSQL's write-ahead log is full, and emptied seconds later",
    needs: ['small disk'],
    async strike(scene) {
      const { cluster, walDisk } = scene.set
      if (!walDisk) throw new Error('no small disk')
      const full = 'No space left on device'
      const before = await cluster.saidTimes(full)
      await walDisk.fill()
      // each switch wants the next segment: it is the server that finds that there is no room
      await withClient(cluster.url, async (client) => {
        for (;;) await client.query(`select pg_logical_emit_message(true, 'proof', 'x'), pg_switch_wal()`)
      }).catch(() => undefined)
      await waitFor(async () => (await cluster.saidTimes(full)) > before, { what: 'a server that has no room' })
      await sleep(between(scene, 1000, 3000))
      await walDisk.clear()
      await waitFor(async () => (await cluster.answers()) || cluster.start().catch(() => false))
    },
  },
  {
    name: 'hostile-settings',
    title:
      'a third of 38 settings of the server, drawn at random, are set for the database: how SQL is read, how values are shown, what may take how long; and all sessions begin again with them',
    async strike(scene) {
      const { url } = scene.set.cluster
      const drawn = Object.values(hostileSettings).filter(() => scene.random() < 1 / 3)
      await withClient(url, async (client) => {
        if (!(await hasEvilSchema(client))) await client.query(evilSchema)
        for (const setting of drawn.flat()) await client.query(`alter database postgres set ${setting}`)
      })
      try {
        await endSessions(url, 1)
        await sleep(between(scene, 2000, 4000))
      } finally {
        await withClient(url, (client) => client.query('alter database postgres reset all'))
        await endSessions(url, 1)
      }
    },
  },
  {
    name: 'clock-database',
    title: "PostgreSQL's wall clock is set forward or back by an hour, and right again",
    needs: ['clocks'],
    strike: lasting(2000, 5000, async (scene) => {
      const { clock, cluster } = scene.set
      const seconds = step(scene)
      await clock?.set(seconds)
      await waitFor(async () => Math.abs((await clockOf(cluster.url)) - Date.now() / 1000 - seconds) < 60, {
        what: "the database's clock off by an hour",
      })
      return () => clock?.set(0)
    }),
  },
]

async function hasEvilSchema(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(`select to_regnamespace('evil') is not null as there`)
  return rows[0]?.there === true
}

/** Seconds since 1970. */
async function clockOf(url: string): Promise<number> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ now: number }>('select extract(epoch from clock_timestamp())::float8 as now'),
  )
  return rows[0]?.now as number
}

async function endSessions(url: string, share: number): Promise<void> {
  await withClient(url, (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and random() < $1`,
      [share],
    ),
  )
}

/** Takes one more connection; false when there is none left. */
async function grab(connectionString: string, grabbed: pg.Client[]): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5000 })
  client.on('error', () => undefined)
  const got = await client.connect().then(
    () => true,
    () => false,
  )
  if (got) grabbed.push(client)
  return got
}
