import { describe, expect, it } from 'vitest'
import { kafkaSettings } from '../../src/config/destinations/kafka.js'
import { rabbitmqSettings } from '../../src/config/destinations/rabbitmq.js'
import { tlsOptions } from '../../src/config/destinations/tls.js'
import { webhookSettings } from '../../src/config/destinations/webhook.js'
import { makeCertificates, passphrase } from '../support/certificates.js'

const pem = makeCertificates()
const [ca, cert, key, locked] = [pem('ca.pem'), pem('client.pem'), pem('client.key'), pem('client.locked.key')]

describe.each([
  ['kafka', 'ssl', (ssl: unknown) => kafkaSettings.safeParse({ brokers: ['k:9092'], ssl })],
  ['rabbitmq', 'tls', (tls: unknown) => rabbitmqSettings.safeParse({ url: 'amqps://b', exchange: 'e', tls })],
  ['webhook', 'tls', (tls: unknown) => webhookSettings.safeParse({ url: 'https://partner.example', tls })],
] as const)('TLS of a destination of kind %s', (_, field, parse) => {
  const problems = (input: unknown): string[] =>
    (parse(input).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)

  it.each([
    ['an authority', { ca }],
    ['several in one text, with words between', { ca: `the first\n${ca}\nthe second\n${pem('server.pem')}` }],
    ['a certificate and its key', { ca, cert, key }],
    ['a chain', { cert: cert + ca, key }],
    ['a key with its pass phrase', { cert, key: locked, passphrase }],
  ])('takes %s', (_case, input) => {
    expect(problems(input)).toEqual([])
  })

  it.each([
    ['the path of a file', { ca: '/etc/ssl/ca.pem' }, '.ca: must be PEM'],
    ['a block that is no certificate', { ca: ca.replace(/^MII.{20}/m, 'MIIB') }, '.ca: must be PEM'],
    ['a key for an authority', { ca: key }, '.ca: must be PEM'],
    ['the path of a certificate', { cert: 'client.pem', key }, '.cert: must be PEM'],
    ['a certificate without its key', { cert }, ': cert and key belong together'],
    ['a key without its certificate', { key }, ': cert and key belong together'],
    ['a key that is not PEM', { cert, key: 'my secret' }, ': cert and key do not match, or key is not PEM'],
    ["another's key", { cert, key: pem('server.key') }, ': cert and key do not match'],
    ['a key without its pass phrase', { cert, key: locked }, ': cert and key do not match, or key is not PEM'],
    ['a wrong pass phrase', { cert, key: locked, passphrase: 'my secret' }, ': cert and key do not match'],
  ])('refuses %s, and shows nothing of it', (_case, input, expected) => {
    const found = problems(input)
    expect(found).toEqual([expect.stringContaining(`${field}${expected}`)])
    expect(found.join()).not.toMatch(/my secret|BEGIN [A-Z ]*KEY|etc/)
  })
})

it('hands the texts over to node:tls, and only what is given', () => {
  const ssl = kafkaSettings.parse({ brokers: ['k:9092'], ssl: { ca, servername: 'kafka.example' } }).ssl
  expect(typeof ssl === 'object' && tlsOptions(ssl)).toEqual({ ca: ca.trimEnd(), servername: 'kafka.example' })
})
