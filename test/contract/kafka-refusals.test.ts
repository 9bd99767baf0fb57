import { type AddressInfo, connect, createServer } from 'node:net'
import { createTopic } from '../../scripts/services/kafka-topics.js'
import { afterEach, describe, expect, it } from 'vitest'
import type { Adapter, Outcome } from '../../src/adapters/contract.js'
import { KafkaAdapter } from '../../src/adapters/kafka/adapter.js'
import type { Partition } from '../../src/adapters/kafka/client.js'
import { connectKafkajs } from '../../src/adapters/kafka/kafkajs-client.js'
import { type KafkaOptions, kafkaSettings } from '../../src/config/destinations/kafka.js'
import { onFileEnd } from '../support/cleanup.js'
import { consumeAll, createTestTopic, kafkaBrokers, withAdmin } from '../support/kafka.js'
import { kcatConsume } from '../support/kcat.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { deliver, message } from './destination.js'
import { kafkaTestAdapter } from './kafka-fixture.js'
import { silentLogger } from './rabbitmq-fixture.js'

const adapters: Adapter[] = []

function adapterFor(options: Partial<KafkaOptions> = {}): Adapter {
  const adapter = kafkaTestAdapter({ brokers: kafkaBrokers(), requestTimeout: '5s', ...options })
  adapters.push(adapter)
  return adapter
}

afterEach(async () => {
  await Promise.all(adapters.splice(0).map((adapter) => adapter.close()))
})

const large = (size: number) => JSON.stringify({ text: 'x'.repeat(size) })

describe('records that Kafka refuses', () => {
  it('gives up on one that is too large, holds its key back, and delivers the rest in order', async () => {
    const topic = await createTestTopic({ partitions: 2, config: { 'max.message.bytes': '20000' } })
    const batch = Array.from({ length: 40 }, (_, i) => message({ key: `key-${i % 4}` }))
    batch[21] = message({ key: 'key-1', payload: large(30_000) })
    const { kinds, outcomes, breaches } = await deliver(adapterFor({ topic: topic.name }), batch)
    const expected = batch.map((_, i) => (i === 21 ? 'dead' : i > 21 && i % 4 === 1 ? 'unsettled' : 'delivered'))
    expect(kinds).toEqual(expected)
    expect(outcomes[21]).toMatchObject({ failure: { code: 'KAFKA_MESSAGE_TOO_LARGE' } })
    expect(breaches()).toEqual([])
    const records = await kcatConsume(topic.name)
    expect(records).toHaveLength(expected.filter((kind) => kind === 'delivered').length)
    for (const key of ['key-0', 'key-1', 'key-2', 'key-3']) {
      const sent = batch.filter((each, i) => each.key === key && expected[i] === 'delivered').map((each) => each.id)
      const held = records.filter((each) => each.key?.toString() === key)
      expect(held.map((each) => new Map(each.headers).get('id'))).toEqual(sent)
    }
  })

  it('delivers records that are too large only together', async () => {
    const topic = await createTestTopic({ config: { 'max.message.bytes': '20000' } })
    const batch = Array.from({ length: 30 }, () => message({ key: 'k', payload: large(3000) }))
    const { kinds } = await deliver(adapterFor({ topic: topic.name }), batch)
    expect(new Set(kinds)).toEqual(new Set(['delivered']))
    const records = await kcatConsume(topic.name)
    expect(records.map((each) => new Map(each.headers).get('id'))).toEqual(batch.map((each) => each.id))
  })

  it('gives up on a record without a key for a compacted topic', async () => {
    const topic = await createTestTopic({ config: { 'cleanup.policy': 'compact' } })
    const batch = [message({ key: 'a' }), message({ key: null }), message({ key: 'b' })]
    const { kinds, outcomes } = await deliver(adapterFor({ topic: topic.name }), batch)
    expect(kinds).toEqual(['delivered', 'dead', 'delivered'])
    expect(outcomes[1]).toMatchObject({ failure: { code: 'KAFKA_INVALID_RECORD' } })
  })
})

describe('a clock that is wrong', () => {
  const hour = 3_600_000
  it.each([
    ['2 hours ahead', 2 * hour, { 'message.timestamp.after.max.ms': String(hour) }],
    ['a backlog of a day', -24 * hour, { 'message.timestamp.before.max.ms': String(hour) }],
  ])('kills no message: %s goes with the time of sending, and its own in a header', async (_, offset, config) => {
    const topic = await createTestTopic({ partitions: 2, config })
    const batch = Array.from({ length: 40 }, (_, i) =>
      message({ key: `key-${i % 4}`, createdAt: new Date(Date.now() + (i % 10 === 3 ? offset : 0)) }),
    )
    const from = Date.now()
    const { kinds, breaches } = await deliver(adapterFor({ topic: topic.name }), batch)
    expect(new Set(kinds)).toEqual(new Set(['delivered']))
    expect(breaches()).toEqual([])
    const records = await consumeAll(topic.name, 40)
    for (const each of batch) {
      const found = records.filter(({ message: { headers } }) => String(headers?.['id']) === each.id)
      expect(found).toHaveLength(1)
      const [record] = found
      expect(Number(record?.message.timestamp)).toBeGreaterThanOrEqual(from - 1000)
      const told = record?.message.headers?.['created-at']
      const published = told === undefined ? Number(record?.message.timestamp) : new Date(String(told)).getTime()
      expect(published).toBe(each.createdAt.getTime())
    }
    for (const key of ['key-0', 'key-1', 'key-2', 'key-3']) {
      const held = records.filter(({ message: record }) => String(record.key) === key)
      expect(held.map(({ message: { headers } }) => String(headers?.['id']))).toEqual(
        batch.filter((each) => each.key === key).map((each) => each.id),
      )
    }
  })

  it("leaves an application's own header of that name as it is", async () => {
    const topic = await createTestTopic({ config: { 'message.timestamp.before.max.ms': '1000' } })
    const old = message({ createdAt: new Date(Date.now() - 60_000), headers: { 'created-at': 'mine' } })
    expect((await deliver(adapterFor({ topic: topic.name }), [old])).kinds).toEqual(['delivered'])
    const [record] = await consumeAll(topic.name, 1)
    expect(String(record?.message.headers?.['created-at'])).toBe('mine')
  })
})

it('a broker is reached by its IPv6 address', async () => {
  const topic = await createTestTopic()
  const [broker = ''] = kafkaBrokers()
  const { hostname, port } = new URL(`kafka://${broker}`)
  const asked: string[] = []
  const server = createServer((client) => {
    asked.push(String(client.localAddress))
    const upstream = connect(Number(port), hostname)
    for (const each of [client, upstream]) each.on('error', () => undefined)
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '::1', resolve))
  onFileEnd(() => void server.close())
  const adapter = adapterFor({ brokers: [`[::1]:${(server.address() as AddressInfo).port}`], topic: topic.name })
  expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  expect(asked).toContain('::1')
})

describe('the proof of a delivery', () => {
  it.each(['none', 'gzip'] as const)('names the place of the record; compression %s', async (compression) => {
    // records this old are past the broker's own retention: it may drop them at its next look
    const topic = await createTestTopic({ partitions: 3, config: { 'retention.ms': '-1' } })
    const adapter = adapterFor({ topic: topic.name, compression, batchBytes: 2000 })
    const createdAt = new Date('2020-02-02T02:02:02.222Z')
    const batch = Array.from({ length: 50 }, (_, i) => message({ key: i % 5 === 0 ? null : `k${i}`, createdAt }))
    const first = await deliver(adapter, batch)
    const second = await deliver(adapter, batch)
    const records = await kcatConsume(topic.name)
    expect(records).toHaveLength(100)
    for (const { outcomes } of [first, second]) {
      outcomes.forEach((outcome, i) => {
        const { partition, offset, topic: name } = receiptOf(outcome)
        const record = records.find((each) => each.partition === partition && each.offset === BigInt(offset))
        expect(name).toBe(topic.name)
        expect(new Map(record?.headers).get('id')).toBe(batch[i]?.id)
        expect(record?.timestamp).toBe(createdAt.getTime())
      })
    }
  })

  it('is asked for: kafkajs resolves for a partition it did not send to, and the message is not called delivered', async () => {
    const topic = await createTestTopic({ partitions: 1 })
    const context = { destination: 'kafka', logger: silentLogger }
    const settings = kafkaSettings.parse({ brokers: kafkaBrokers(), topic: topic.name })
    // What a topic looks like to us that was made anew with fewer partitions.
    let outdated = true
    const adapter = new KafkaAdapter(settings, context, async () => {
      const client = await connectKafkajs(settings, context)
      const known = [0, 1, 2].map((id): Partition => ({ id, available: true }))
      return {
        partitions: (name) => (outdated ? Promise.resolve(known) : client.partitions(name)),
        append: (...args) => client.append(...args),
        close: () => client.close(),
      }
    })
    adapters.push(adapter)
    const batch = Array.from({ length: 12 }, (_, i) => message({ key: `key-${i}` }))
    const { kinds, outcomes } = await deliver(adapter, batch)
    expect(kinds).toContain('delivered')
    const missing = outcomes.filter((outcome) => outcome?.kind === 'pause')
    expect(missing[0]).toMatchObject({ failure: { code: 'KAFKA_NOT_ACKNOWLEDGED' } })
    expect(await kcatConsume(topic.name)).toHaveLength(kinds.filter((kind) => kind === 'delivered').length)
    outdated = false
    expect(new Set((await deliver(adapter, batch)).kinds)).toEqual(new Set(['delivered']))
  })
})

describe('a topic that does not exist', () => {
  it.each([
    ['{topic}', undefined, 'retry'],
    ['{topic}', 'dead', 'dead'],
    ['fixed', undefined, 'misconfigured'],
    ['fixed', 'retry', 'retry'],
  ] as const)('with topic %s and unknownTopic %s: %s', async (template, unknownTopic, kind) => {
    const absent = uniqueName('waybill.test.absent')
    const adapter = adapterFor({
      topic: template === 'fixed' ? absent : template,
      ...(unknownTopic && { unknownTopic }),
    })
    const { outcomes } = await deliver(adapter, [message({ topic: absent })])
    expect(outcomes[0]).toMatchObject({ kind, failure: { code: 'KAFKA_UNKNOWN_TOPIC' } })
    const topics = await withAdmin((admin) => admin.listTopics())
    expect(topics).not.toContain(absent)
  })

  it('holds back only what comes later with the same key', async () => {
    const topic = await createTestTopic({ partitions: 2 })
    const absent = uniqueName('waybill.test.absent')
    const batch = [
      message({ topic: topic.name, key: 'a' }),
      message({ topic: absent, key: 'a' }),
      message({ topic: topic.name, key: 'b' }),
      message({ topic: topic.name, key: 'a' }),
      message({ topic: topic.name, key: null }),
    ]
    const { kinds } = await deliver(adapterFor(), batch)
    expect(kinds).toEqual(['delivered', 'retry', 'delivered', 'unsettled', 'delivered'])
    expect(await kcatConsume(topic.name)).toHaveLength(3)
  })

  it('any more: other topics go on, and so does this one when it is back', async () => {
    const [gone, other] = [await createTestTopic(), await createTestTopic()]
    const adapter = adapterFor({ metadataMaxAge: '1s' })
    const batch = () => [message({ topic: gone.name, key: 'a' }), message({ topic: other.name, key: 'b' })]
    expect((await deliver(adapter, batch())).kinds).toEqual(['delivered', 'delivered'])
    await gone.delete()
    const seen = new Set<string>()
    await waitFor(async () => {
      const { kinds } = await deliver(adapter, batch())
      for (const kind of kinds) seen.add(kind)
      return kinds[0] === 'retry' && kinds[1] === 'delivered'
    })
    expect([...seen].filter((kind) => !['pause', 'retry', 'delivered', 'unsettled'].includes(kind))).toEqual([])
    await withAdmin((admin) => createTopic(admin, { topic: gone.name }))
    await waitFor(async () => (await deliver(adapter, batch())).kinds.every((kind) => kind === 'delivered'))
    await withAdmin((admin) => admin.deleteTopics({ topics: [gone.name] }))
  })

  it('cannot: a name longer than Kafka takes is dead', async () => {
    const { outcomes } = await deliver(adapterFor(), [message({ topic: 'a'.repeat(250) })])
    expect(outcomes[0]).toMatchObject({ kind: 'dead', failure: { code: 'KAFKA_TOPIC_INVALID' } })
  })
})

describe('a cluster that is not to be had', () => {
  it.each([
    ['nobody there', { brokers: ['127.0.0.1:1'] }, 'pause', 'KAFKA_ECONNREFUSED'],
    ['no such host', { brokers: ['no-such-host.invalid:9092'] }, 'pause', 'KAFKA_ENOTFOUND'],
    [
      'a sign-in that is refused',
      { sasl: { mechanism: 'plain' as const, username: 'waybill', password: 'wrong-password' } },
      'misconfigured',
      'KAFKA_ILLEGAL_SASL_STATE',
    ],
  ])('%s', async (_, options, kind, code) => {
    const { outcomes } = await deliver(adapterFor({ topic: 'any', ...options }), [message(), message()])
    expect(outcomes).toEqual([0, 1].map(() => expect.objectContaining({ kind }) as unknown))
    expect(outcomes[0]).toMatchObject({ failure: { code } })
    expect(JSON.stringify(outcomes)).not.toContain('wrong-password')
  })

  it('uses another broker of the list', async () => {
    const topic = await createTestTopic()
    const adapter = adapterFor({ topic: topic.name, brokers: ['127.0.0.1:1', ...kafkaBrokers()] })
    await waitFor(async () => (await deliver(adapter, [message()])).kinds[0] === 'delivered')
  })
})

it('loses nothing to concurrent calls for the same partitions', async () => {
  const topic = await createTestTopic({ partitions: 2 })
  const adapter = adapterFor({ topic: topic.name })
  const batches = Array.from({ length: 8 }, () => Array.from({ length: 100 }, (_, i) => message({ key: `k${i % 7}` })))
  const answers = await Promise.all(batches.map((batch) => deliver(adapter, batch)))
  expect(new Set(answers.flatMap((answer) => answer.kinds))).toEqual(new Set(['delivered']))
  const ids = (await kcatConsume(topic.name)).map((each) => new Map(each.headers).get('id'))
  expect(ids.sort()).toEqual(batches.flat().map((each) => each.id))
})

function receiptOf(outcome: Outcome | undefined): { topic: string; partition: number; offset: number } {
  if (outcome?.kind !== 'delivered' || !outcome.receipt) throw new Error(`no receipt: ${JSON.stringify(outcome)}`)
  return outcome.receipt as { topic: string; partition: number; offset: number }
}
