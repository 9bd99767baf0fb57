import { randomBytes } from 'node:crypto'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { createTopic } from '../../scripts/services/kafka-topics.js'
import { Cluster } from '../support/cluster.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { startSwitchProxy } from '../support/switch-proxy.js'
import { waitFor } from '../support/wait-for.js'
import { Partner } from './receivers.js'
import { OwnServer } from './servers.js'

/** Brokers and the partner serve all scenarios; each has a database, a queue and a topic of its own. */
export class Stage {
  readonly rabbit: OwnServer
  readonly kafka: OwnServer
  readonly partner = new Partner()
  readonly webhookUrl: string

  private constructor(rabbit: OwnServer, kafka: OwnServer, webhookUrl: string, partner: Partner) {
    this.rabbit = rabbit
    this.kafka = kafka
    this.webhookUrl = webhookUrl
    this.partner = partner
  }

  static async build(): Promise<Stage> {
    const partner = new Partner()
    const [rabbit, kafka, url] = await Promise.all([OwnServer.rabbitmq(), OwnServer.kafka(), partner.start()])
    return new Stage(rabbit, kafka, url, partner)
  }

  /** What one scenario runs on. */
  async set(options: { readonly standby: boolean }): Promise<StageSet> {
    const name = `proof-${randomBytes(4).toString('hex')}`
    const cluster = await Cluster.create()
    const standby = options.standby ? await cluster.standby() : undefined
    const address = await startSwitchProxy(cluster.port)
    const databaseLink = await startHalfOpenProxy({ port: address.port })
    const rabbitLink = await startHalfOpenProxy({ port: Number(new URL(this.rabbit.url).port) })
    await this.#createTopic(name)
    this.partner.forget()
    this.partner.behave()
    return {
      ...{ name, cluster, standby, address, databaseLink, rabbitLink },
      url: `postgres://postgres@127.0.0.1:${address.port}/postgres`,
    }
  }

  async #createTopic(topic: string): Promise<void> {
    const kafka = new kafkajs.Kafka({
      brokers: [this.kafka.url],
      clientId: 'proof',
      logLevel: kafkajs.logLevel.NOTHING,
    })
    const admin = kafka.admin()
    await admin.connect()
    try {
      await createTopic(admin, { topic, numPartitions: 3, replicationFactor: 1 })
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
  /** The database as everybody knows it; a failover points it elsewhere. */
  readonly address: { switchTo(port: number): void }
  readonly url: string
  /** Between the dispatchers and the database. */
  readonly databaseLink: HalfOpenProxy
  readonly rabbitLink: HalfOpenProxy
}

/** Resolves when every lane has read everything and nothing is parked; to the milliseconds that took. */
export async function untilDelivered(url: string, timeoutMs: number): Promise<number> {
  const started = performance.now()
  await waitFor(() => isDelivered(url), { timeoutMs, intervalMs: 100, what: 'everything delivered' })
  return performance.now() - started
}

async function isDelivered(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000, query_timeout: 5000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ done: boolean }>(
      `select count(*) = 4 * (select max(shards) from waybill.lane_status) and bool_and(lag_messages = 0)
              and not exists (select from waybill.deliveries) as done
         from waybill.lane_status`,
    )
    return rows[0]?.done === true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
