import { connect, type AddressInfo } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Adapter } from '../../src/adapters/contract.js'
import type { RabbitmqOptions } from '../../src/config/destinations/rabbitmq.js'
import { makeCertificates, passphrase } from '../support/certificates.js'
import { onFileEnd } from '../support/cleanup.js'
import { amqpUrl } from '../support/rabbitmq.js'
import { deliver, growingMessages, idsAndPayloads, message } from './destination.js'
import { rabbitAdapter, rabbitDestination } from './rabbitmq-fixture.js'

/** The broker behind TLS, as a load balancer does it: the URL to it. */
async function startTls(options: TlsOptions): Promise<string> {
  const server = createServer(options, (client) => {
    const broker = connect({ host: '127.0.0.1', port: Number(new URL(amqpUrl()).port) })
    client.on('error', () => broker.destroy()).on('close', () => broker.destroy())
    broker.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.pipe(broker).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(() => void server.close())
  const url = new URL(amqpUrl().replace(/^amqp:/, 'amqps:'))
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return url.href
}

describe('RabbitMQ through TLS', () => {
  const pem = makeCertificates()
  const server = { key: pem('server.key'), cert: pem('server.pem') }
  const client = { key: pem('client.locked.key'), passphrase, cert: pem('client.pem') }
  const mutual = {
    ...server,
    ca: pem('ca.pem'),
    requestCert: true,
    rejectUnauthorized: true,
  } as const

  async function destination() {
    const made = await rabbitDestination()
    onTestFinished(() => made.cleanup())
    return made
  }
  function adapterOf(options: Pick<RabbitmqOptions, 'url' | 'exchange' | 'tls'>): Adapter {
    const adapter = rabbitAdapter(options)
    onTestFinished(() => adapter.close())
    return adapter
  }

  it('takes a batch, whole and in order, where the authority is the one that tls.ca names', async () => {
    const rabbit = await destination()
    const adapter = adapterOf({ url: await startTls(server), exchange: rabbit.exchange, tls: { ca: pem('ca.pem') } })
    const batch = growingMessages(300)
    expect(new Set((await deliver(adapter, batch)).kinds)).toEqual(new Set(['delivered']))
    expect(idsAndPayloads(await rabbit.received())).toEqual(idsAndPayloads(batch))
  })

  it.each([
    ['of an unknown authority', server, undefined],
    ['for another host', { key: pem('elsewhere.key'), cert: pem('elsewhere.pem') }, { ca: pem('ca.pem') }],
  ])('is misconfigured where the certificate is %s', async (_, certificate, tls) => {
    const rabbit = await destination()
    const adapter = adapterOf({ url: await startTls(certificate), exchange: rabbit.exchange, ...(tls && { tls }) })
    expect((await deliver(adapter, [message()])).outcomes).toMatchObject([
      { kind: 'misconfigured', failure: { code: 'AMQP_TLS_FAILED' } },
    ])
    expect(await rabbit.received()).toEqual([])
  })

  describe.each(['TLSv1.2', 'TLSv1.3'] as const)('where the broker asks for a certificate, by %s', (maxVersion) => {
    it('shows its own', async () => {
      const { exchange } = await destination()
      const [url, ca] = [await startTls({ ...mutual, maxVersion }), pem('ca.pem')]
      expect((await deliver(adapterOf({ url, exchange, tls: { ca, ...client } }), [message()])).kinds).toEqual([
        'delivered',
      ])
    })

    it('is misconfigured where it has none to show', async () => {
      const { exchange } = await destination()
      const [url, ca] = [await startTls({ ...mutual, maxVersion }), pem('ca.pem')]
      expect((await deliver(adapterOf({ url, exchange, tls: { ca } }), [message()])).outcomes).toMatchObject([
        { kind: 'misconfigured', failure: { code: 'AMQP_TLS_FAILED' } },
      ])
    })
  })
})
