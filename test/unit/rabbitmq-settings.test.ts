import { describe, expect, it } from 'vitest'
import { rabbitmqSettings } from '../../src/config/destinations/rabbitmq.js'

const least = { url: 'amqp://user:pa%24s@broker/vhost', exchange: 'events' }
const problemsOf = (input: unknown) =>
  rabbitmqSettings.safeParse(input).error?.issues.map((issue) => issue.path.join('.'))

describe('settings of a RabbitMQ destination', () => {
  it('has defaults for all but url and exchange', () => {
    expect(rabbitmqSettings.parse(least)).toMatchObject({
      exchange: 'events',
      routingKey: '{topic}',
      inFlight: 1000,
      confirmTimeout: 30_000,
      connectTimeout: 10_000,
      heartbeat: 10_000,
    })
    expect(problemsOf({})).toEqual(['url', 'exchange'])
  })

  it.each([
    ['url', { url: 'http://broker' }],
    ['url', { url: 'broker:5672' }],
    ['routingKey', { routingKey: '{tenant}.{topic}' }],
    ['routingKey', { routingKey: 'x'.repeat(256) }],
    ['inFlight', { inFlight: 0 }],
    ['confirmTimeout', { confirmTimeout: 'soon' }],
    ['unroutable', { unroutable: 'ignore' }],
    ['', { exchnage: 'events' }],
    ['declare.queues.0.type', { declare: { queues: [{ name: 'q', type: 'mirrored' }] } }],
    ['declare.queues.0', { declare: { queues: [{ name: 'q', quorum: true }] } }],
  ])('names the field that is wrong: %s', (path, change) => {
    expect(problemsOf({ ...least, ...change })).toEqual([path])
  })

  it('shows no password, neither in a problem nor in what it gives', () => {
    const refused = rabbitmqSettings.safeParse({ ...least, url: 'http://user:pa%24s@broker' })
    expect(JSON.stringify(refused.error?.issues)).not.toContain('pa%24s')
    expect(JSON.stringify(rabbitmqSettings.parse(least))).not.toContain('pa%24s')
    expect(rabbitmqSettings.parse(least).url.reveal()).toBe(least.url)
  })
})
