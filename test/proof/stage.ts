import { randomBytes } from 'node:crypto'
import { connect } from 'amqplib'
import kafkajs from 'kafkajs'
import { applyRoles } from '../../src/db/roles.js'
import { createTopic } from '../../scripts/services/kafka-topics.js'
import { Cluster } from '../support/cluster.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { type NameServer, startNameServer } from '../support/name-server.js'
import { SmallDisk } from '../support/small-disk.js'
import { applyMigrations } from '../support/migrations.js'
import { type ReadRouter, startReadRouter } from '../support/read-router.js'
import { type SwitchProxy, startSwitchProxy } from '../support/switch-proxy.js'
import { waitFor } from '../support/wait-for.js'
import { WallClock } from '../support/wall-clock.js'
import { withClient } from '../support/with-client.js'
import { ArrivalLog } from './arrival-log.js'
import { Partner } from './receivers.js'
import { OwnServer } from './servers.js'

/** Brokers and the partner serve all scenarios; each has a database, a queue and a topic of its own. */
export class Stage {
  readonly rabbit: OwnServer
  readonly kafka: OwnServer
  readonly partner: Partner
  readonly webhookUrl: string
  #three: Promise<OwnServer[]> | undefined

  private constructor(rabbit: OwnServer, kafka: OwnServer, webhookUrl: string, partner: Partner) {
    this.rabbit = rabbit
    this.kafka = kafka
    this.webhookUrl = webhookUrl
    this.partner = partner
  }

  static async build(): Promise<Stage> {
    const partner = new Partner()
    const [rabbit, [kafka], url] = await Promise.all([OwnServer.rabbitmq(), OwnServer.kafkaNodes(1), partner.start()])
    return new Stage(rabbit, kafka as OwnServer, url, partner)
  }

  /** What one scenario runs on. */
  async set(needs: ReadonlySet<Need>): Promise<StageSet> {
    const name = `proof-${randomBytes(4).toString('hex')}`
    const clock = needs.has('clocks') ? await WallClock.create() : undefined
    const walDisk = needs.has('small disk') ? await SmallDisk.create(walDiskBytes) : undefined
    const cluster = needs.has('promoted stand-by')
      ? await promotedAfterInstalling()
      : await Cluster.create(walDisk ? { max_wal_size: '48MB', min_wal_size: '32MB' } : {}, {
          ...(clock && { env: clock.env }),
          ...(walDisk && { walDirectory: walDisk.directory }),
        })
    const brokers = needs.has('three brokers') ? await (this.#three ??= OwnServer.kafkaNodes(3)) : [this.kafka]
    const newServer = needs.has('new server') ? await Cluster.blank() : undefined
    const takesBack = needs.has('lagging stand-by')
    const standby = takesBack || needs.has('stand-by') ? await cluster.standby() : undefined
    const applications = await startSwitchProxy(cluster.port)
    const dispatchers = await startSwitchProxy(cluster.port)
    const router = standby && needs.has('read router') ? await startReadRouter(dispatchers, standby) : undefined
    const databaseLink = await startHalfOpenProxy({ port: (router ?? dispatchers).port })
    const webhookLink = await startHalfOpenProxy({ port: Number(new URL(this.webhookUrl).port) })
    await Promise.all([this.#createTopic(name, brokers), this.declareQueue(name)])
    this.partner.forget()
    this.partner.behave()
    this.rabbit.link.restore()
    const url = `postgres://postgres@127.0.0.1:${applications.port}/postgres`
    const role = needs.has('dispatcher role') ? await createDispatcherRole(cluster.url) : 'postgres'
    return {
      ...{ name, cluster, standby, newServer, takesBack, brokers, clock, walDisk, router, databaseLink, webhookLink },
      nameServer: await startNameServer(),
      ...{ drained: new ArrivalLog(), silenced: [], url, applications, dispatchers },
      dispatcherUrl: databaseLink.through(url.replace('postgres@', `${role}@`)),
      address: {
        switchTo: (port) => {
          for (const each of [applications, dispatchers]) each.switchTo(port)
        },
      },
    }
  }

  // A node that is killed within a second of the declaration forgets the queue and what it confirmed: RabbitMQ keeps the
  // names of quorum queues in a file that it syncs now and then. The faults are to strike a queue that has been there.
  async declareQueue(name: string): Promise<void> {
    const connection = await connect(this.rabbit.url, { timeout: 5000 })
    try {
      const channel = await connection.createChannel()
      await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    } finally {
      await connection.close()
    }
    await this.rabbit.tool(`rabbitmqctl eval '[dets:sync(Table) || Table <- dets:all()].'`)
  }

  async #createTopic(topic: string, nodes: readonly OwnServer[]): Promise<void> {
    const kafka = new kafkajs.Kafka({
      brokers: nodes.map(({ url }) => url),
      clientId: 'proof',
      logLevel: kafkajs.logLevel.NOTHING,
    })
    const admin = kafka.admin()
    await admin.connect()
    try {
      await createTopic(admin, { topic, numPartitions: 3, replicationFactor: nodes.length })
    } finally {
      await admin.disconnect()
    }
  }
}

export interface StageSet {
  /** Of the queue and of the topic. */
  readonly name: string
  readonly cluster: Cluster
  readonly standby: Cluster | undefined
  /** Nothing is in it. */
  readonly newServer: Cluster | undefined
  /** Of the topic. */
  readonly brokers: readonly OwnServer[]
  /** Of the database. */
  readonly clock: WallClock | undefined
  /** That the database's write-ahead log is on. */
  readonly walDisk: SmallDisk | undefined
  /** A commit that its client saw go through may be gone with the old primary. */
  readonly takesBack: boolean
  /** The database as everybody knows it; a failover points it elsewhere. */
  readonly address: { switchTo(port: number): void }
  /** The same, as publishers know it, and as dispatchers do. */
  readonly applications: SwitchProxy
  readonly dispatchers: SwitchProxy
  /** Of publishers. */
  readonly url: string
  readonly dispatcherUrl: string
  /** Between the dispatchers and the database. */
  readonly router: ReadRouter | undefined
  /** Between the dispatchers and the database. */
  readonly databaseLink: HalfOpenProxy
  readonly webhookLink: HalfOpenProxy
  /** The only one that dispatchers know. */
  readonly nameServer: NameServer
  /** Taken out of the queue so far. */
  readonly drained: ArrivalLog
  /** Destinations whose network fell silent, once for each time: what was in flight there is sent again. */
  readonly silenced: string[]
}

/** What a fault needs of the stage beyond the usual. */
export type Need =
  | ('stand-by' | 'lagging stand-by' | 'promoted stand-by' | 'read router' | 'new server')
  | ('clocks' | 'small disk' | 'three brokers' | 'dispatcher role')

const walDiskBytes = 128 * 1024 * 1024

/** A primary that was a stand-by when Waybill was installed, and was promoted as soon as it had all of that. */
async function promotedAfterInstalling(): Promise<Cluster> {
  const primary = await Cluster.blank()
  const standby = await primary.standby()
  await applyMigrations(primary.url)
  await standby.caughtUpWith(primary)
  await standby.promote()
  await primary.crash()
  return standby
}

/** A login that has what the documentation gives dispatchers, and no more. */
async function createDispatcherRole(url: string): Promise<string> {
  const name = 'proof_dispatcher'
  await withClient(url, async (client) => {
    await applyRoles(client)
    await client.query(`create role ${name} login in role waybill_dispatcher`)
  })
  return name
}

/** Resolves when every lane has read everything and nothing is parked; to the milliseconds that took. */
export async function untilDelivered(url: string, timeoutMs: number): Promise<number> {
  const started = performance.now()
  await waitFor(() => isDelivered(url).catch(() => false), { timeoutMs, intervalMs: 100, what: 'everything delivered' })
  return performance.now() - started
}

/** For a message of failure: lanes, what is parked, and what the database does. */
export async function whatIsLeft(url: string): Promise<string> {
  const statements = [
    'select * from waybill.lane_status',
    'select * from waybill.deliveries limit 20',
    `select pid, application_name, state, wait_event_type, wait_event, xact_start, backend_xid, left(query, 200) as query
       from pg_stat_activity where backend_type = 'client backend'`,
  ]
  const answers = await withClient(url, async (client) => {
    const all: unknown[] = []
    for (const sql of statements) all.push((await client.query<object>(sql)).rows)
    return all
  }).catch((error: unknown) => `the database does not answer: ${String(error)}`)
  return JSON.stringify(answers, null, 1)
}

async function isDelivered(url: string): Promise<boolean> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ done: boolean }>(
      `with configured as (select name, shards from waybill.destinations where configured)
       select count(*) = (select sum(shards) from configured) and bool_and(lag_messages = 0)
              and not exists (select from waybill.deliveries where destination in (select name from configured)) as done
         from waybill.lane_status where destination in (select name from configured)`,
    ),
  )
  return rows[0]?.done === true
}
