import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { KafkaFault } from '../../src/adapters/kafka/client.js'
import { faultOf } from '../../src/adapters/kafka/kafkajs-faults.js'

/** The classes as they are exported; their types leave the constructors out. */
const errors = kafkajs as unknown as Record<string, new (error: unknown, options?: object) => Error>

function protocolError(type: string, retriable = false): Error {
  const ProtocolError = errors['KafkaJSProtocolError']
  if (!ProtocolError) throw new Error('kafkajs exports no KafkaJSProtocolError')
  return new ProtocolError({ type, code: 0, retriable, message: type })
}

function wrapped(name: string, cause: Error): Error {
  const Wrapper = errors[name]
  if (!Wrapper) throw new Error(`kafkajs exports no ${name}`)
  return new Wrapper(cause, { cause, retryCount: 0, retryTime: 0 })
}

describe('what an error of kafkajs means', () => {
  it.each([
    ['MESSAGE_TOO_LARGE', 'record'],
    ['INVALID_RECORD', 'record'],
    ['INVALID_TIMESTAMP', 'timestamp'],
    ['TOPIC_AUTHORIZATION_FAILED', 'misconfigured'],
    ['SASL_AUTHENTICATION_FAILED', 'misconfigured'],
    ['NOT_LEADER_FOR_PARTITION', 'down'],
    ['NOT_ENOUGH_REPLICAS', 'down'],
    ['REQUEST_TIMED_OUT', 'down'],
    ['UNKNOWN', 'down'],
  ])('%s: %s', (type, kind) => {
    expect(faultOf(protocolError(type))).toMatchObject({ kind, code: `KAFKA_${type}` })
  })

  it('is the cause, however often it is wrapped, and not that the wrapper says "not retriable"', () => {
    const transient = protocolError('NOT_LEADER_FOR_PARTITION', true)
    const once = wrapped('KafkaJSNumberOfRetriesExceeded', transient)
    const twice = wrapped('KafkaJSNonRetriableError', once)
    expect(once).toMatchObject({ retriable: false })
    for (const error of [once, twice]) {
      expect(faultOf(error)).toMatchObject({ kind: 'down', code: 'KAFKA_NOT_LEADER_FOR_PARTITION', cause: error })
    }
  })

  it('keeps the network’s own code, and takes a refused certificate for something to mend', () => {
    const ConnectionError = errors['KafkaJSConnectionError']
    if (!ConnectionError) throw new Error('kafkajs exports no KafkaJSConnectionError')
    const of = (code: string) => faultOf(new ConnectionError('no connection', { broker: 'b:1', code }))
    expect(of('ECONNREFUSED')).toMatchObject({ kind: 'down', code: 'KAFKA_ECONNREFUSED' })
    expect(of('DEPTH_ZERO_SELF_SIGNED_CERT')).toMatchObject({ kind: 'misconfigured', code: 'KAFKA_TLS_FAILED' })
  })

  it('a refused sign-in is not an outage', () => {
    const AuthError = errors['KafkaJSSASLAuthenticationError']
    if (!AuthError) throw new Error('kafkajs exports no KafkaJSSASLAuthenticationError')
    expect(faultOf(new AuthError('no'))).toMatchObject({ kind: 'misconfigured', code: 'KAFKA_SASL_AUTHENTICATION' })
  })

  it('leaves a fault as it is, and calls what it does not know an outage', () => {
    const fault = new KafkaFault('record', 'KAFKA_X', 'x')
    expect(faultOf(fault)).toBe(fault)
    expect(faultOf(new Error('?'))).toMatchObject({ kind: 'down' })
    expect(faultOf('?')).toMatchObject({ kind: 'down', code: 'KAFKA_UNKNOWN' })
  })
})
