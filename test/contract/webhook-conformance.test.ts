import { webhookAdapter } from '../../src/adapters/webhook/index.js'
import { webhookSettings } from '../../src/config/destinations/webhook.js'
import { type HttpReceiver, type ReceivedRequest, type Reply, startHttpReceiver } from '../support/http-receiver.js'
import { conformance } from './conformance.js'
import type { ConnectedDestination, Received } from './destination.js'

const systemHeaders = [
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
  'webhook-topic',
  'webhook-key',
  'webhook-attempt',
  'webhook-encoded-headers',
  'content-type',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'host',
  'connection',
  'authorization',
  'cookie',
  'user-agent',
] as const

/** A message as a receiver reads it that knows `webhook-encoded-headers`. */
function read({ headers, body }: ReceivedRequest): Received {
  const key = headers['webhook-key']
  const encoded = String(headers['webhook-encoded-headers'] ?? '').split(',')
  const plain = Object.entries(headers).map(([name, value]) =>
    encoded.includes(name) ? [decodeURIComponent(name), decodeURIComponent(String(value))] : [name, String(value)],
  )
  return {
    id: String(headers['webhook-id']),
    topic: String(headers['webhook-topic']),
    key: key === undefined ? null : decodeURIComponent(String(key)),
    payload: body,
    headers: Object.fromEntries(plain) as Record<string, string>,
  }
}

async function setup(): Promise<ConnectedDestination> {
  const arrived: Received[] = []
  const accept = (request: ReceivedRequest): Reply => {
    arrived.push(read(request))
    return { status: 204 }
  }
  let receiver: HttpReceiver = await startHttpReceiver(accept)
  let up = true
  const { port, url } = receiver
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const settings = webhookSettings.parse({
    url: `${url}/hook`,
    secrets: ['whsec_c29tZSBzZWNyZXQgb2Ygc29tZSBsZW5ndGg='],
    allowNetworks: ['127.0.0.0/8'],
    timeoutMs: 2000,
  })
  const breakDestination = async (): Promise<void> => {
    up = false
    await receiver.close()
  }
  return {
    makeAdapter: () => webhookAdapter.create(settings, { destination: 'partner', logger }),
    received: async () => arrived,
    breakDestination,
    async healDestination() {
      if (up) receiver.respondWith(accept)
      else receiver = await startHttpReceiver(accept, { port })
      up = true
    },
    stallDestination: () => receiver.respondWith('hang'),
    connections: () => (up ? receiver.openConnections() : 0),
    cleanup: () => (up ? breakDestination() : undefined),
  }
}

conformance('webhook', setup, { topics: ['order.created', 'order.paid'], systemHeaders })
