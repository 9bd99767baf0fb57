import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import type { Fleet } from './fleet.js'
import type { Manner } from './receivers.js'
import type { Stage, StageSet } from './stage.js'

/** Of the lanes of the proof. */
export const leaseMs = 3000

export interface Scene {
  readonly stage: Stage
  readonly set: StageSet
  readonly fleet: Fleet
  readonly random: () => number
}

type Act = (scene: Scene) => unknown

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

/** Begins, lasts for a random while, and ends, also when the proof is interrupted in between. */
const lasting =
  (low: number, high: number, begin: Act, end: Act) =>
  async (scene: Scene): Promise<void> => {
    await begin(scene)
    await sleep(between(scene, low, high)).finally(() => end(scene))
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
      await withClient(set.url, (client) =>
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
    strike: lasting(
      1.5 * leaseMs,
      3 * leaseMs,
      ({ set }) => set.databaseLink.swallow(),
      ({ set }) => set.databaseLink.restore(),
    ),
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
    strike: lasting(
      4000,
      7000,
      ({ set }) => set.rabbitLink.swallow(),
      ({ set }) => {
        set.rabbitLink.cut()
        set.rabbitLink.restore()
      },
    ),
  },
  {
    name: 'rabbitmq-alarm',
    title: 'RabbitMQ blocks its publishers (memory alarm)',
    strike: lasting(
      3000,
      5000,
      ({ stage }) => stage.rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.0001'),
      ({ stage }) => stage.rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.4'),
    ),
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
    strike: lasting(
      4000,
      8000,
      ({ stage }) => stage.kafka.freeze(),
      ({ stage }) => stage.kafka.thaw(),
    ),
  },
  {
    name: 'partner',
    title: 'the partner answers 500, 429, nothing, or cuts, also for what it has stored',
    strike: lasting(
      3000,
      5000,
      ({ stage, random }) => {
        stage.partner.manner = () => manners[Math.floor(random() * manners.length)] as Manner
      },
      ({ stage }) => stage.partner.behave(),
    ),
  },
]

/** What strikes together when all is asked for. */
export const mixtures: readonly string[] = [
  'kill+partner+terminate',
  'freeze+rabbitmq-silent+kafka-frozen',
  'kill+freeze+database-crash+rabbitmq-kill+kafka-kill+partner',
]

/** Resolves when all that a fault may have left behind answers again. */
export async function healed({ set }: Scene): Promise<void> {
  await waitFor(() => withClient(set.url, () => Promise.resolve(true)).catch(() => false), { timeoutMs: 60_000 })
}
