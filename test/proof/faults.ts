import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { rebaseRestored } from '../../src/outbox/rebase.js'
import type { HalfOpenProxy } from '../support/half-open-proxy.js'
import { type Cluster, says } from '../support/cluster.js'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import type { Fleet } from './fleet.js'
import { type Manner, deleteEmpty, drainQueue } from './receivers.js'
import type { Need, Stage, StageSet } from './stage.js'

/** Of the lanes of the proof. */
export const leaseMs = 3000
/** One that hangs fails its own scenario, and not the ones after it. */
const strikeMs = 120_000

export interface Scene {
  readonly stage: Stage
  readonly set: StageSet
  readonly fleet: Fleet
  readonly random: () => number
}

export interface Fault {
  readonly name: string
  /** What happens, as the table says it. */
  readonly title: string
  /** It begins and ends within. */
  readonly strike: (scene: Scene) => Promise<void>
  /** Once, and not again. */
  readonly once?: boolean
  readonly needs?: readonly Need[]
}

const between = (scene: Scene, low: number, high: number): number => low + scene.random() * (high - low)
const anyone = ({ fleet, random }: Scene): number => Math.floor(random() * fleet.size)
const mortal = ({ fleet, random }: Scene): number => fleet.spared + Math.floor(random() * (fleet.size - fleet.spared))

/** Begins, lasts for a random while, and ends as `begin` says, also when the proof is interrupted in between. */
const lasting =
  (low: number, high: number, begin: (scene: Scene) => Promise<() => unknown>) =>
  async (scene: Scene): Promise<void> => {
    const end = await begin(scene)
    await sleep(between(scene, low, high)).finally(end)
  }

/** A network that says nothing; then what it has swallowed arrives late, or is cut off and never does. */
const silent = (destination: string, links: (scene: Scene) => HalfOpenProxy[], then: 'late' | 'cut') =>
  lasting(4000, 7000, async (scene) => {
    scene.set.silenced.push(destination)
    for (const link of links(scene)) link.swallow()
    return () => {
      for (const link of links(scene)) {
        if (then === 'cut') link.cut()
        link.restore()
      }
    }
  })

/** A port at which nobody listens (tcpmux). */
const nowhere = 1

/** Seconds that a clock is set off by. */
const step = ({ random }: Scene): number => (random() < 0.5 ? -3600 : 3600)

/** Seconds since 1970. */
async function clockOf(url: string): Promise<number> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ now: number }>('select extract(epoch from clock_timestamp())::float8 as now'),
  )
  return rows[0]?.now as number
}

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

const manners: readonly Manner[] = [
  { stores: true, reply: { status: 204 } },
  { stores: true, reply: { status: 204 } },
  { stores: true, reply: { status: 500 } },
  { stores: false, reply: { status: 500 } },
  { stores: false, reply: { status: 429, headers: { 'retry-after': '1' } } },
  { stores: true, reply: 'hang' },
  { stores: true, reply: 'destroy' },
]

export const faults: readonly Fault[] = [
  { name: 'none', title: 'nothing', strike: () => sleep(1000) },
  {
    name: 'kill',
    title: 'a dispatcher is killed (SIGKILL)',
    strike: (scene) => scene.fleet.kill(mortal(scene)),
  },
  {
    name: 'freeze',
    title: 'a dispatcher is frozen past its lease (SIGSTOP), and goes on',
    async strike(scene) {
      const one = anyone(scene)
      scene.fleet.freeze(one)
      await sleep(between(scene, 1.5 * leaseMs, 3 * leaseMs))
      scene.fleet.thaw(one)
    },
  },
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
    name: 'failover',
    title: 'PostgreSQL fails over to an asynchronous stand-by that lags',
    once: true,
    needs: ['standby'],
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
    name: 'clock-dispatcher',
    title: "a dispatcher's wall clock is set forward or back by an hour, and right again",
    needs: ['clocks'],
    strike: lasting(2000, 5000, async (scene) => {
      const [{ fleet }, one] = [scene, anyone(scene)]
      await fleet.setClock(one, step(scene))
      return () => fleet.setClock(one, 0)
    }),
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
  {
    name: 'queue-deleted',
    title: 'the queue is deleted under the publishers, and declared again seconds later',
    async strike(scene) {
      const { stage, set } = scene
      // what is in the queue would go with it: publishers' next messages wait on the wire until it is gone
      stage.rabbit.link.swallow('toServer')
      try {
        for (let quiet = 0; quiet < 2; quiet++) {
          await sleep(150)
          const arrivals = await drainQueue(stage.rabbit.url, set.name)
          set.drained.addAll(arrivals)
          if (arrivals.length > 0) quiet = -1
        }
        await deleteEmpty(stage.rabbit.url, set.name)
      } finally {
        stage.rabbit.link.restore()
      }
      await sleep(between(scene, 1000, 4000))
      await stage.declareQueue(set.name)
    },
  },
  {
    name: 'rabbitmq-kill',
    title: 'RabbitMQ is killed and started again',
    async strike({ stage }) {
      await stage.rabbit.kill()
      await stage.rabbit.start()
    },
  },
  {
    name: 'rabbitmq-silent',
    title: 'the network to RabbitMQ swallows everything: confirms never come',
    strike: silent('bus', ({ stage }) => [stage.rabbit.link], 'cut'),
  },
  {
    name: 'rabbitmq-alarm',
    title: 'RabbitMQ blocks its publishers (memory alarm)',
    strike: lasting(3000, 5000, async ({ stage: { rabbit } }) => {
      await rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.0001')
      return () => rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.4')
    }),
  },
  {
    name: 'kafka-kill',
    title: 'the Kafka broker is killed and started again',
    async strike({ stage }) {
      await stage.kafka.kill()
      await stage.kafka.start()
    },
  },
  {
    name: 'kafka-leader',
    title: 'one of three Kafka nodes is killed or shut down, so that leaders move, and started again',
    needs: ['three brokers'],
    async strike(scene) {
      const { brokers } = scene.set
      const one = brokers[Math.floor(scene.random() * brokers.length)]
      await (scene.random() < 0.5 ? one?.kill() : one?.stop())
      await sleep(between(scene, 1000, 4000))
      await one?.start()
    },
  },
  {
    name: 'kafka-frozen',
    title: 'the Kafka broker answers nothing for seconds (SIGSTOP)',
    strike: lasting(4000, 8000, async ({ stage: { kafka } }) => {
      kafka.freeze()
      return () => kafka.thaw()
    }),
  },
  {
    name: 'kafka-silent',
    title: 'the network to Kafka swallows everything, and lets it through later',
    strike: silent('lake', ({ set }) => set.brokers.map(({ link }) => link), 'late'),
  },
  {
    name: 'webhook-silent',
    title: 'the network to the partner swallows everything, and lets it through later',
    strike: silent('crm', ({ set }) => [set.webhookLink], 'late'),
  },
  {
    name: 'partner',
    title: 'the partner answers 500, 429, nothing, or cuts, also for what it has stored',
    strike: lasting(3000, 5000, async ({ stage: { partner }, random }) => {
      partner.manner = () => manners[Math.floor(random() * manners.length)] as Manner
      return () => partner.behave()
    }),
  },
]

/** Ends as the fault does; one that hangs rejects. */
export async function strike(fault: Fault, scene: Scene): Promise<void> {
  const over = new AbortController()
  const late = sleep(strikeMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${fault.name} did not end within ${strikeMs} ms`)
  })
  await Promise.race([fault.strike(scene), late]).finally(() => over.abort())
}

/** What strikes together when all is asked for. */
export const mixtures: readonly string[] = [
  'kill+partner+terminate+database-forgotten',
  'freeze+rabbitmq-silent+kafka-silent+webhook-silent+kafka-frozen',
  'kill+freeze+database-crash+rabbitmq-kill+kafka-kill+partner',
  'clock-dispatcher+clock-database+queue-deleted+connections+disk-full',
]

/** Resolves when all that a fault may have left behind answers again. */
export async function healed({ set }: Scene): Promise<void> {
  await waitFor(() => withClient(set.url, () => Promise.resolve(true)).catch(() => false), { timeoutMs: 60_000 })
}
