import { describe, expect, it } from 'vitest'
import { connectOutcome, lostOutcome } from '../../src/adapters/rabbitmq/failures.js'
import { publications } from '../../src/adapters/rabbitmq/publication.js'
import { loadPeer } from '../../src/core/load-peer.js'
import { message } from '../contract/destination.js'

describe('what is published to RabbitMQ', () => {
  it.each([
    ['{topic}', 'order.created'],
    ['orders', 'orders'],
    ['crm.{topic}.{key}', 'crm.order.created.$& {topic}'],
    ['', ''],
  ])('routing key %s', (template, expected) => {
    const sent = message({ topic: 'order.created', key: '$& {topic}' })
    expect(publications({ routingKey: template }).routingKey(sent)).toBe(expected)
  })

  it('has an empty {key} for a message without one', () => {
    expect(publications({ routingKey: '{topic}.{key}' }).routingKey(message({ key: null }))).toBe('order.created.')
  })

  it('leaves out headers that would pass for the system’s, or make RabbitMQ route copies', () => {
    const headers = { key: 'forged', CC: 'elsewhere', BCC: 'elsewhere', 'x-own': '1' }
    const { properties } = publications({ routingKey: 'q' })
    expect({ ...properties(message({ headers })).headers } as object).toEqual({ 'x-own': '1' })
    expect({ ...properties(message({ headers, key: 'real' })).headers } as object).toEqual({
      'x-own': '1',
      key: 'real',
    })
    expect(properties(message()).headers).toBeUndefined()
  })
})

describe('what a failure of RabbitMQ means', () => {
  it('a missing package is said with the command that mends it', async () => {
    const missing = 'a-package-that-is-not-there'
    const error: unknown = await loadPeer('amqplib', () => import(missing)).catch((caught: unknown) => caught)
    expect(connectOutcome(error)).toMatchObject({ kind: 'misconfigured', failure: { code: 'WAYBILL_PEER_MISSING' } })
    expect(connectOutcome(error)).toMatchObject({
      failure: { message: expect.stringContaining('npm install amqplib') as string },
    })
  })

  it.each([
    [{ code: 'ECONNREFUSED' }, 'pause', 'AMQP_UNREACHABLE'],
    [{ code: 'CERT_HAS_EXPIRED' }, 'misconfigured', 'AMQP_TLS_FAILED'],
    [{ code: 406 }, 'misconfigured', 'AMQP_PRECONDITION_FAILED'],
    [{ code: 541 }, 'pause', 'AMQP_UNREACHABLE'],
  ])('while connecting: %o', (fields, kind, code) => {
    const error = Object.assign(new Error('text'), fields)
    expect(connectOutcome(error)).toMatchObject({ kind, failure: { code } })
  })

  it.each([
    [{ code: 404 }, 'misconfigured', 'AMQP_NOT_FOUND'],
    [{ code: 403 }, 'misconfigured', 'AMQP_ACCESS_REFUSED'],
    [{ code: 320 }, 'pause', 'AMQP_CONNECTION_LOST'],
    [{ code: 'ECONNRESET' }, 'pause', 'AMQP_CONNECTION_LOST'],
  ])('while publishing: %o', (fields, kind, code) => {
    expect(lostOutcome(Object.assign(new Error('text'), fields))).toMatchObject({ kind, failure: { code } })
  })
})
