import type pg from 'pg'
import { type Consumer, consumeKafka, consumeRabbit } from './consumers.js'
import type { DemoOptions } from './options.js'
import { Receiver } from './receiver.js'
import type { Stage } from './stage.js'
import type { Arrival } from './verdict.js'
import { pickPort } from '../services/ports.js'

/** A destination of the example's configuration, and the other side of it. */
export interface Destination {
  readonly name: string
  readonly kind: string
  /** Whether the routes send this topic there; said here anew, so that a wrong route would be noticed. */
  readonly wants: (topic: string) => boolean
  /** False where jobs run side by side. */
  readonly ordered: boolean
  readonly arrivals: () => readonly Arrival[] | Promise<readonly Arrival[]>
}

export interface Cast {
  readonly destinations: readonly Destination[]
  readonly receivers: readonly Receiver[]
  /** What the example's configuration reads. */
  readonly environment: Readonly<Record<string, string>>
  close(): Promise<void>
}

const secrets = { crm: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', bank: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' }

/** Starts everything that receives. */
export async function assemble(stage: Stage, pool: pg.Pool, options: DemoOptions): Promise<Cast> {
  const manners = {
    crm: { errors: 0.03, slow: 0.02, cuts: 0.01, throttles: 0 },
    bank: { errors: 0.01, slow: 0.03, cuts: 0.005, throttles: 0.005 },
  }
  const receivers: Receiver[] = []
  for (const name of ['crm', 'bank'] as const) {
    const port = await pickPort(0)
    const loseOne = options.lose === name
    receivers.push(new Receiver({ name, port, secret: secrets[name], manners: manners[name], loseOne }))
  }
  const consumers: Consumer[] = []
  const close = async () => {
    await Promise.all([...receivers.map((receiver) => receiver.stop()), ...consumers.map((one) => one.close())])
  }
  try {
    await Promise.all(receivers.map((receiver) => receiver.start()))
    const [crm, bank] = receivers as [Receiver, Receiver]
    const wantsPayments = (topic: string) => topic.startsWith('payment.')
    const destinations: Destination[] = [
      { name: 'crm', kind: 'webhook', wants: () => true, ordered: true, arrivals: () => crm.arrivals },
      { name: 'bank', kind: 'webhook', wants: wantsPayments, ordered: true, arrivals: () => bank.arrivals },
      {
        name: 'mail',
        kind: 'jobs',
        wants: (topic) => topic === 'order.created' || wantsPayments(topic),
        ordered: false,
        arrivals: () => mails(pool),
      },
    ]
    const name = `waybill-demo-${process.pid}-${Date.now().toString(36)}`
    const environment: Record<string, string> = {
      DATABASE_URL: stage.databaseUrl,
      CRM_URL: crm.url,
      BANK_URL: bank.url,
      CRM_SIGNING_SECRET: secrets.crm,
      BANK_SIGNING_SECRET: secrets.bank,
    }
    if (stage.amqpUrl !== undefined) {
      const bus = await consumeRabbit(stage.amqpUrl, name, name)
      consumers.push(bus)
      destinations.push({
        name: 'bus',
        kind: 'rabbitmq',
        wants: () => true,
        ordered: true,
        arrivals: () => bus.arrivals,
      })
      Object.assign(environment, { AMQP_URL: stage.amqpUrl, AMQP_EXCHANGE: name, AMQP_QUEUE: name })
    }
    if (stage.kafkaBrokers !== undefined) {
      const lake = await consumeKafka(stage.kafkaBrokers, name)
      consumers.push(lake)
      destinations.push({
        name: 'lake',
        kind: 'kafka',
        wants: () => true,
        ordered: true,
        arrivals: () => lake.arrivals,
      })
      Object.assign(environment, { KAFKA_BROKERS: stage.kafkaBrokers, KAFKA_TOPIC: name })
    }
    return { destinations, receivers, environment, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Each run of a job counts as an arrival. */
async function mails(pool: pg.Pool): Promise<Arrival[]> {
  const { rows } = await pool.query<Arrival>(
    `select m.message_id::text as id, m.order_id::text as key, m.version from mails m, generate_series(1, m.runs)`,
  )
  return rows
}
