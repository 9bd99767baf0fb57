import { createRequire } from 'node:module'
import { beforeAll, describe, expect, it } from 'vitest'
import { createDispatcher } from '../../src/app/index.js'
import { defineConfig, jobs, kafka, rabbitmq, webhook } from '../../src/config/index.js'
import { createWorker } from '../../src/jobs/index.js'
import { Queue, rawJson } from '../../src/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { useDatabase } from '../support/database.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { consumeAll, createTestTopic, kafkaBrokers } from '../support/kafka.js'
import { amqpUrl, consumeQueue, createTestQueue } from '../support/rabbitmq.js'
import { waitFor } from '../support/wait-for.js'

interface Sample {
  readonly topic: string
  readonly key: string | null
  readonly text: string
}

interface Got {
  readonly id: string
  readonly key: string | null
  readonly text: string
}

type Body = Readonly<Record<string, unknown>> & {
  readonly action?: string
  readonly repository?: { readonly full_name?: string }
}

/** What GitHub really sends, as collected by octokit: bodies of up to 30 kB, deep, with every kind of text. */
const events = createRequire(import.meta.url)('@octokit/webhooks-examples') as readonly {
  readonly name: string
  readonly examples: readonly Body[]
}[]

const samples: Sample[] = events
  .flatMap(({ name, examples }) => examples.map((body) => ({ name, body })))
  .map(({ name, body }, i) => ({
    topic: ['github', name, ...(body.action === undefined ? [] : [body.action])].join('.'),
    key: body.repository?.full_name ?? null,
    // Half of them with white space, which has to survive as well.
    text: JSON.stringify(body, null, i % 2 === 0 ? 2 : undefined),
  }))

const database = useDatabase()
const published = new Map<string, Sample>()
const received: Record<string, readonly Got[]> = {}

beforeAll(async () => {
  const receiver = await startHttpReceiver({ status: 204 })
  const [queue, topic] = await Promise.all([createTestQueue(), createTestTopic({ partitions: 3 })])
  const config = defineConfig({
    database: { url: database().url },
    destinations: {
      hook: webhook({ url: `${receiver.url}/github`, allowNetworks: ['127.0.0.0/8'] }),
      bus: rabbitmq({ url: amqpUrl(), exchange: '', routingKey: queue.name }),
      lake: kafka({ brokers: kafkaBrokers(), topic: topic.name }),
      work: jobs({ queue: 'github' }),
    },
    routes: { 'github.**': ['hook', 'bus', 'lake', 'work'] },
  })
  const done: Got[] = []
  const worker = createWorker({
    connectionString: database().url,
    queues: { github: { concurrency: 4 } },
    handlers: { 'github.**': ({ messageId, key, argsText }) => void done.push({ id: messageId, key, text: argsText }) },
    pollMs: 100,
  })
  const app = new Queue({ connectionString: database().url })
  const dispatcher = createDispatcher(config, { logger: silentLogger })
  try {
    // Some before it starts, the rest while it runs.
    await publish(app, samples.slice(0, 100))
    await Promise.all([dispatcher.start(), worker.start()])
    await publish(app, samples.slice(100))
    const undelivered = async () => (await database().pool.query('select from waybill.undelivered')).rowCount
    await waitFor(async () => (await undelivered()) === 0, { what: 'all deliveries' })
    await waitFor(() => done.length >= samples.length, { what: 'all jobs' })
    const [fromQueue, fromTopic] = await Promise.all([
      consumeQueue(queue.name, samples.length, 30_000),
      consumeAll(topic.name, samples.length, 30_000),
    ])
    received['webhook'] = receiver.received().map(({ headers, body }) => ({
      id: String(headers['webhook-id']),
      key: headers['webhook-key'] === undefined ? null : decodeURIComponent(String(headers['webhook-key'])),
      text: body.toString('utf8'),
    }))
    received['rabbitmq'] = fromQueue.map(({ properties, content }) => ({
      id: String(properties.messageId),
      key: (properties.headers?.['key'] as string | undefined) ?? null,
      text: content.toString('utf8'),
    }))
    received['kafka'] = fromTopic.map(({ message }) => ({
      id: String(message.headers?.['id']),
      key: message.key?.toString('utf8') ?? null,
      text: message.value?.toString('utf8') ?? '',
    }))
    received['jobs'] = done
  } finally {
    await Promise.all([dispatcher.stop(), worker.stop(), app.close()])
  }
}, 180_000)

async function publish(queue: Queue, list: readonly Sample[]): Promise<void> {
  for (const sample of list) {
    const { topic, key, text } = sample
    published.set(await queue.publish(topic, rawJson(text), { tx: null, key }), sample)
  }
}

describe('real webhook bodies of GitHub', () => {
  it('are many, and of every kind of event', () => {
    expect(samples.length).toBeGreaterThan(300)
    expect(new Set(samples.map(({ topic }) => topic)).size).toBeGreaterThan(150)
    expect(samples.filter(({ key }) => key === null).length).toBeGreaterThan(5)
    expect(published.size).toBe(samples.length)
  })

  it.each(['webhook', 'rabbitmq', 'kafka', 'jobs'])('reach a destination of kind %s byte for byte', (kind) => {
    const got = received[kind] ?? []
    const byId = new Map(got.map((one) => [one.id, one]))
    expect([...byId.keys()].sort()).toEqual([...published.keys()].sort())
    // An undisturbed run: nothing comes twice.
    expect(got.length).toBe(samples.length)
    for (const [id, { key, text }] of published) {
      const one = byId.get(id)
      expect(one?.key).toBe(key)
      // Not toEqual: a difference of two bodies of 30 kB helps nobody.
      expect(one?.text === text, `the body of ${id}`).toBe(true)
    }
  })

  it.each(['webhook', 'rabbitmq', 'kafka'])('arrive at %s in publish order for each repository', (kind) => {
    const order = [...published.keys()]
    const repositories = groupByKey(received[kind] ?? [])
    for (const [key, list] of repositories) {
      if (key === null) continue
      const ids = list.map(({ id }) => id)
      expect(ids, key).toEqual(order.filter((id) => published.get(id)?.key === key))
    }
  })
})

function groupByKey(list: readonly Got[]): Map<string | null, Got[]> {
  const groups = new Map<string | null, Got[]>()
  for (const one of list) groups.set(one.key, [...(groups.get(one.key) ?? []), one])
  return groups
}
