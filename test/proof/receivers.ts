import { connect } from 'amqplib'
import kafkajs from 'kafkajs'
import type { Arrival } from '../../scripts/demo/verdict.js'
import { type ReceivedRequest, type Reply, startHttpReceiver } from '../support/http-receiver.js'
import { ArrivalLog } from './arrival-log.js'
import { eachRow } from './rows.js'

/** What a partner's endpoint does with a request; `stores`: it keeps the message whatever it answers. */
export interface Manner {
  readonly stores: boolean
  readonly reply: Reply
}

const taken: Manner = { stores: true, reply: { status: 204 } }

/** A partner that writes down every message it took. */
export class Partner {
  readonly #arrivals = new Map<string, ArrivalLog>()
  /** Stored, and answered in a way that asks for another attempt. */
  denied = 0
  manner: (body: Buffer) => Manner = () => taken

  async start(): Promise<string> {
    const respond = ({ url, headers, body }: ReceivedRequest): Reply => {
      const { stores, reply } = this.manner(body)
      if (stores) {
        this.arrivals(url.slice(1)).add(arrival(String(headers['webhook-id']), body))
        if (reply === 'hang' || reply === 'destroy' || (reply.status ?? 200) >= 300) this.denied++
      }
      return reply
    }
    const { url } = await startHttpReceiver(respond, { keep: false })
    return url
  }

  /** At the path of a destination's name. */
  arrivals(destination: string): ArrivalLog {
    const log = this.#arrivals.get(destination) ?? new ArrivalLog()
    this.#arrivals.set(destination, log)
    return log
  }

  behave(): void {
    this.manner = () => taken
  }

  forget(): void {
    this.#arrivals.clear()
    this.denied = 0
  }
}

/** Messages that one acknowledgement stands for. */
const ackEvery = 500

/**
 * Takes out all that a queue holds, in its order. RabbitMQ 3.10 forgets acknowledgements that it has not worked off when
 * their connection ends: of 7,000 given one by one, 300 to 1,700 messages were there again. So they are few, and the
 * channel is closed before its connection, which waits for them.
 */
export async function drainQueue(url: string, queue: string): Promise<Arrival[]> {
  const connection = await connect(url, { timeout: 5000 })
  try {
    const channel = await connection.createChannel()
    const { messageCount } = await channel.checkQueue(queue)
    const arrivals: Arrival[] = []
    if (messageCount === 0) return arrivals
    await channel.prefetch(2 * ackEvery)
    await new Promise<void>((resolve, reject) => {
      channel.on('error', reject)
      channel
        .consume(queue, (message) => {
          if (message === null) return reject(new Error('the queue was deleted'))
          if (arrivals.length === messageCount) return
          arrivals.push(arrival(String(message.properties.messageId), message.content))
          if (arrivals.length === messageCount || arrivals.length % ackEvery === 0) channel.ack(message, true)
          if (arrivals.length === messageCount) resolve()
        })
        .catch(reject)
    })
    await channel.close()
    return arrivals
  } finally {
    await connection.close()
  }
}

/** Rejects when something was in it: that is gone, and the counts with it. */
export async function deleteEmpty(url: string, queue: string): Promise<void> {
  const connection = await connect(url, { timeout: 5000 })
  try {
    const { messageCount } = await (await connection.createChannel()).deleteQueue(queue)
    if (messageCount > 0) throw new Error(`${queue} was deleted with ${messageCount} messages in it`)
  } finally {
    await connection.close()
  }
}

/** All that a topic holds, in order within each partition. */
export async function readTopic(brokers: readonly string[], topic: string): Promise<ArrivalLog> {
  const kafka = new kafkajs.Kafka({ brokers: [...brokers], clientId: 'proof', logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  const consumer = kafka.consumer({ groupId: `${topic}-${Date.now()}` })
  await admin.connect()
  try {
    const ends = await admin.fetchTopicOffsets(topic)
    const total = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
    const arrivals = new ArrivalLog()
    if (total === 0) return arrivals
    const read = new Map<number, number>()
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            // one that is thrown out of its group reads records again: that is one record, not two
            const offset = Number(message.offset)
            if (message.value === null || offset <= (read.get(partition) ?? -1)) return
            read.set(partition, offset)
            arrivals.add(arrival(String(message.headers?.['id']), message.value))
            if (arrivals.length === total) resolve()
          },
        })
        .catch(reject)
    })
    return arrivals
  } finally {
    await consumer.disconnect()
    await admin.disconnect()
  }
}

/** All jobs that were inserted; they run side by side, so their order says nothing. */
export async function readJobs(url: string): Promise<ArrivalLog> {
  const arrivals = new ArrivalLog()
  await eachRow<{ id: string; args: string }>(
    url,
    `select message_id::text as id, args::text as args from waybill.jobs where queue = 'proof'`,
    ({ id, args }) => arrivals.add(arrival(id, Buffer.from(args))),
  )
  return arrivals
}

function arrival(id: string, body: Buffer): Arrival {
  const { key, version } = JSON.parse(body.toString('utf8')) as { key: string | null; version: number }
  return { id, key: key ?? id, version }
}
