import { describe, expect, it } from 'vitest'
import { kafkaSettings } from '../../src/config/destinations/kafka.js'

const least = { brokers: ['kafka-1:9092', '[::1]:9092'] }
const problemsOf = (input: unknown) => kafkaSettings.safeParse(input).error?.issues.map((issue) => issue.path.join('.'))

describe('settings of a Kafka destination', () => {
  it('has defaults for all but brokers', () => {
    expect(kafkaSettings.parse(least)).toEqual({
      ...least,
      clientId: 'waybill',
      topic: '{topic}',
      layout: 'plain',
      compression: 'none',
      batchBytes: 900_000,
      ssl: false,
      connectionTimeout: 5000,
      requestTimeout: 30_000,
      metadataMaxAge: 300_000,
    })
    expect(problemsOf({})).toEqual(['brokers'])
  })

  it.each([
    ['brokers', { brokers: [] }],
    ['brokers.0', { brokers: ['kafka-1'] }],
    ['brokers.0', { brokers: ['kafka://kafka-1:9092'] }],
    ['topic', { topic: '{topic}/{key}' }],
    ['topic', { topic: 'orders created' }],
    ['layout', { layout: 'cloudevents' }],
    ['compression', { compression: 'zstd' }],
    ['', { idempotent: true }],
    ['sasl.password', { sasl: { mechanism: 'plain', username: 'u' } }],
  ])('names the field that is wrong: %s', (path, change) => {
    expect(problemsOf({ ...least, ...change })).toEqual([path])
  })

  it('shows no password', () => {
    const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'hunter2' }
    const settings = kafkaSettings.parse({ ...least, sasl })
    expect(JSON.stringify(settings)).not.toContain('hunter2')
    expect(settings.sasl?.password.reveal()).toBe('hunter2')
  })
})
