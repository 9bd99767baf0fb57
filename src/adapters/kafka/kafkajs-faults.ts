import { codeOf, messageOf } from '../../core/errors.js'
import { isLastingTlsError } from '../../core/tls-errors.js'
import { type FaultKind, KafkaFault } from './client.js'

/** Names by which kafkajs 2.2 wraps what really happened, with `retriable: false` even around transient errors. */
const wrappers = new Set(['KafkaJSNumberOfRetriesExceeded', 'KafkaJSNonRetriableError'])

/** Names of kafkajs errors that time does not heal. */
const hopeless = new Set([
  'KafkaJSSASLAuthenticationError',
  'KafkaJSServerDoesNotSupportApiKey',
  'KafkaJSUnsupportedMagicByteInMessageSet',
  'KafkaJSNotImplemented',
])

/** Protocol errors by name (https://kafka.apache.org/protocol.html#protocol_error_codes); what is not here is transient. */
const kinds: Readonly<Record<string, FaultKind>> = {
  MESSAGE_TOO_LARGE: 'record',
  RECORD_LIST_TOO_LARGE: 'record',
  INVALID_RECORD: 'record',
  INVALID_TIMESTAMP: 'timestamp',
  INVALID_TOPIC_EXCEPTION: 'misconfigured',
  INVALID_REQUIRED_ACKS: 'misconfigured',
  TOPIC_AUTHORIZATION_FAILED: 'misconfigured',
  CLUSTER_AUTHORIZATION_FAILED: 'misconfigured',
  UNSUPPORTED_SASL_MECHANISM: 'misconfigured',
  ILLEGAL_SASL_STATE: 'misconfigured',
  SASL_AUTHENTICATION_FAILED: 'misconfigured',
  SECURITY_DISABLED: 'misconfigured',
  UNSUPPORTED_VERSION: 'misconfigured',
  UNSUPPORTED_FOR_MESSAGE_FORMAT: 'misconfigured',
  UNSUPPORTED_COMPRESSION_TYPE: 'misconfigured',
  POLICY_VIOLATION: 'misconfigured',
}

const clockRemedy =
  "; check the clocks of the database, this machine and the brokers, and the topic's message.timestamp.after.max.ms and before.max.ms"

/** The protocol's name of an error, where it is a broker's answer: `UNKNOWN_TOPIC_OR_PARTITION`. */
export function protocolErrorOf(error: unknown): string | undefined {
  const cause = unwrap(error)
  return hasText(cause, 'type') ? cause.type : undefined
}

/** Tells what an error of kafkajs means. */
export function faultOf(error: unknown): KafkaFault {
  if (error instanceof KafkaFault) return error
  const cause = unwrap(error)
  const options = { cause: error }
  const type = protocolErrorOf(cause)
  const text = messageOf(cause)
  if (type !== undefined) {
    const kind = kinds[type] ?? 'down'
    return new KafkaFault(kind, `KAFKA_${type}`, kind === 'timestamp' ? text + clockRemedy : text, options)
  }
  const code = codeOf(cause)
  if (isLastingTlsError(code)) {
    const remedy = `${text.trim()} (${code}); check the brokers' certificate, ssl.ca, ssl.cert and ssl.servername`
    return new KafkaFault('misconfigured', 'KAFKA_TLS_FAILED', remedy, options)
  }
  if (hasText(cause, 'name') && hopeless.has(cause.name)) {
    return new KafkaFault('misconfigured', codeFromName(cause.name), text, options)
  }
  const name = code ?? (hasText(cause, 'name') ? codeFromName(cause.name) : 'UNKNOWN')
  return new KafkaFault('down', name.startsWith('KAFKA_') ? name : `KAFKA_${name}`, text, options)
}

function unwrap(error: unknown): unknown {
  let current = error
  while (hasText(current, 'name') && wrappers.has(current.name) && 'cause' in current && current.cause != null) {
    current = current.cause
  }
  return current
}

/** `KafkaJSRequestTimeoutError` → `KAFKA_REQUEST_TIMEOUT`. */
function codeFromName(name: string): string {
  const words = name.replace(/^KafkaJS/, '').replace(/Error$/, '')
  return `KAFKA_${words.replaceAll(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '_').toUpperCase() || 'ERROR'}`
}

function hasText<Name extends string>(value: unknown, name: Name): value is Record<Name, string> {
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[name] === 'string'
}
