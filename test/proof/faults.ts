import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { waitFor } from '../support/wait-for.js'
import type { Fleet } from './fleet.js'
import type { Manner } from './receivers.js'
import type { Stage, StageSet } from './stage.js'

export interface Scene {
  readonly stage: Stage
  readonly set: StageSet
  readonly fleet: Fleet
  readonly leaseMs: number
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
  readonly standby?: boolean
}

const between = (scene: Scene, low: number, high: number): number => low + scene.random() * (high - low)
const anyone = ({ fleet, random }: Scene): number => Math.floor(random() * fleet.size)

async function asAdmin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
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
    strike: (scene) => scene.fleet.kill(anyone(scene)),
  },
  {
    name: 'freeze',
    title: 'a dispatcher is frozen past its lease (SIGSTOP), and goes on',
    async strike(scene) {
      const one = anyone(scene)
      scene.fleet.freeze(one)
      await sleep(scene.leaseMs * between(scene, 1.5, 3))
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
    standby: true,
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
    name: 'terminate',
    title: 'sessions are ended (pg_terminate_backend)',
    async strike({ set }) {
      await asAdmin(set.url, (client) =>
        client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and random() < 0.5`,
        ),
      )
    },
  },
  {
    name: 'holder',
    title: 'a session holds a transaction with an xid and a snapshot open',
    async strike(scene) {
      await asAdmin(scene.set.url, async (client) => {
        await client.query('begin isolation level repeatable read; select pg_current_xact_id()')
        await sleep(between(scene, 3000, 6000))
        await client.query('commit')
      })
    },
  },
  {
    name: 'database-silent',
    title: 'the network to PostgreSQL swallows everything',
    async strike(scene) {
      scene.set.databaseLink.swallow()
      await sleep(scene.leaseMs * between(scene, 1.5, 3))
      scene.set.databaseLink.restore()
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
    async strike(scene) {
      scene.set.rabbitLink.swallow()
      await sleep(between(scene, 4000, 7000))
      scene.set.rabbitLink.cut()
      scene.set.rabbitLink.restore()
    },
  },
  {
    name: 'rabbitmq-alarm',
    title: 'RabbitMQ blocks its publishers (memory alarm)',
    async strike(scene) {
      await scene.stage.rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.0001')
      await sleep(between(scene, 3000, 5000))
      await scene.stage.rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.4')
    },
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
    name: 'kafka-frozen',
    title: 'the Kafka broker answers nothing for seconds (SIGSTOP)',
    async strike(scene) {
      scene.stage.kafka.freeze()
      await sleep(between(scene, 4000, 8000))
      scene.stage.kafka.thaw()
    },
  },
  {
    name: 'partner',
    title: 'the partner answers 500, 429, nothing, or cuts, also for what it has stored',
    async strike(scene) {
      const { partner } = scene.stage
      partner.manner = () => manners[Math.floor(scene.random() * manners.length)] as Manner
      await sleep(between(scene, 3000, 5000))
      partner.behave()
    },
  },
]

/** Resolves when all that a fault may have left behind answers again. */
export async function healed({ set }: Scene): Promise<void> {
  await waitFor(() => asAdmin(set.url, () => Promise.resolve(true)).catch(() => false), { timeoutMs: 60_000 })
}
