import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Adapter } from '../../src/adapters/contract.js'
import type { KafkaOptions } from '../../src/config/destinations/kafka.js'
import { makeCertificates, passphrase } from '../support/certificates.js'
import { createTestTopic } from '../support/kafka.js'
import { kcatConsume } from '../support/kcat.js'
import { type SecuredKafka, startSecuredKafka } from '../support/secured-kafka.js'
import { deliver, growingMessages, idsAndPayloads, message } from './destination.js'
import { kafkaTestAdapter } from './kafka-fixture.js'

const pem = makeCertificates()
const ssl = { ca: pem('ca.pem') }
const user = { name: 'waybill', password: 'correct-horse' }
let broker: SecuredKafka
let topic: string

beforeAll(async () => {
  broker = await startSecuredKafka(pem, user)
  topic = (await createTestTopic({ brokers: [broker.plain] })).name
})

function adapterOf(options: Pick<KafkaOptions, 'brokers' | 'ssl' | 'sasl'>): Adapter {
  const adapter = kafkaTestAdapter({ topic, connectionTimeout: '5s', requestTimeout: '5s', ...options })
  onTestFinished(() => adapter.close())
  return adapter
}

/** Sends some messages and tells whether they, and nothing else, came to the topic. */
async function expectDelivered(adapter: Adapter): Promise<void> {
  const before = (await kcatConsume(topic, [broker.plain])).length
  const batch = growingMessages(50)
  expect(new Set((await deliver(adapter, batch)).kinds)).toEqual(new Set(['delivered']))
  const records = (await kcatConsume(topic, [broker.plain])).slice(before)
  const received = records.map(({ headers, payload }) => ({
    id: new Map(headers).get('id') ?? '',
    payload: String(payload),
  }))
  expect(idsAndPayloads(received)).toEqual(idsAndPayloads(batch))
}

async function expectRefused(adapter: Adapter, code: string): Promise<void> {
  const before = (await kcatConsume(topic, [broker.plain])).length
  const { outcomes } = await deliver(adapter, [message()])
  expect(outcomes).toMatchObject([{ kind: 'misconfigured', failure: { code } }])
  expect(JSON.stringify(outcomes)).not.toContain('horse')
  expect(await kcatConsume(topic, [broker.plain])).toHaveLength(before)
}

describe('Kafka through TLS', () => {
  it('takes a batch, whole and in order, where the authority is the one that ssl.ca names', async () => {
    await expectDelivered(adapterOf({ brokers: [broker.tls], ssl }))
  })

  it('is misconfigured where the certificate is of an unknown authority', async () => {
    await expectRefused(adapterOf({ brokers: [broker.tls], ssl: true }), 'KAFKA_TLS_FAILED')
  })

  it('is misconfigured where the certificate is for another host', async () => {
    await expectRefused(adapterOf({ brokers: [broker.elsewhere], ssl }), 'KAFKA_TLS_FAILED')
  })

  it('accepts the name that ssl.servername says', async () => {
    await expectDelivered(adapterOf({ brokers: [broker.elsewhere], ssl: { ...ssl, servername: 'elsewhere.example' } }))
  })

  it('shows a certificate of its own where the broker asks for one', async () => {
    await expectDelivered(
      adapterOf({
        brokers: [broker.mutual],
        ssl: { ...ssl, cert: pem('client.pem'), key: pem('client.locked.key'), passphrase },
      }),
    )
  })

  it('is misconfigured where it has none to show', async () => {
    await expectRefused(adapterOf({ brokers: [broker.mutual], ssl }), 'KAFKA_TLS_FAILED')
  })
})

describe('Signing in to Kafka', () => {
  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('by %s', async (mechanism) => {
    const sasl = { mechanism, username: user.name, password: user.password }
    await expectDelivered(adapterOf({ brokers: [broker.sasl], ssl, sasl }))
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'is misconfigured where %s is refused',
    async (mechanism) => {
      const sasl = { mechanism, username: user.name, password: 'wrong-horse' }
      await expectRefused(adapterOf({ brokers: [broker.sasl], ssl, sasl }), 'KAFKA_SASL_AUTHENTICATION')
    },
  )
})
