import type { ChannelModel, ConfirmChannel, credentials as amqpCredentials } from 'amqplib'
import { loadPeer } from '../../core/load-peer.js'
import { lookups } from '../../network/lookups.js'
import type { RabbitmqSettings } from '../../config/destinations/rabbitmq.js'
import { tlsOptions } from '../../config/destinations/tls.js'
import { gatherWrites, hangUp } from './socket.js'
import { declareTopology } from './topology.js'

export interface Opened {
  readonly connection: ChannelModel
  readonly channel: ConfirmChannel
}

/**
 * Connects, signs in, declares what the settings say and opens a confirm channel, all within `connectTimeout`. Throws what
 * amqplib threw, or `WAYBILL_PEER_MISSING`.
 */
export async function open(settings: RabbitmqSettings, destination: string): Promise<Opened> {
  const { connect, credentials } = await loadPeer('amqplib', () => import('amqplib'))
  const deadline = performance.now() + settings.connectTimeout
  const connection = await connect(urlWithHeartbeat(settings), {
    // Without `timeout`, amqplib waits for ever for a peer that accepts and says nothing.
    timeout: settings.connectTimeout,
    noDelay: true,
    keepAlive: true,
    lookup: lookups.lookup,
    ...signIn(settings, credentials),
    clientProperties: { connection_name: `waybill:${destination}` },
    ...(settings.tls && tlsOptions(settings.tls)),
  })
  // An error event without a listener would end the process; what it says also rejects the calls below.
  connection.on('error', () => undefined)
  gatherWrites(connection)
  // `timeout` covers the handshake alone. Destroying the socket rejects whatever is awaited here.
  let late = false
  const timer = setTimeout(
    () => {
      late = true
      void hangUp(connection, 0)
    },
    Math.max(1, deadline - performance.now()),
  )
  try {
    if (settings.declare) {
      // A channel of its own: a declaration that is refused closes it.
      const channel = await connection.createChannel()
      channel.on('error', () => undefined)
      await declareTopology(channel, settings.declare)
      await channel.close()
    }
    return { connection, channel: await connection.createConfirmChannel() }
  } catch (error) {
    void hangUp(connection, 0)
    if (late) throw new Error(`the broker did not answer within ${settings.connectTimeout} ms`, { cause: error })
    throw error
  } finally {
    clearTimeout(timer)
  }
}

type Credentials = typeof amqpCredentials

/** amqplib takes a URL's user and password for Latin-1: brokers, and all other clients, mean UTF-8. */
function signIn(
  { url }: RabbitmqSettings,
  credentials: Credentials,
): { credentials?: ReturnType<Credentials['plain']> } {
  const { username, password } = new URL(url.reveal())
  if (username === '' && password === '') return {}
  try {
    return { credentials: credentials.plain(decodeURIComponent(username), decodeURIComponent(password)) }
  } catch {
    // percent signs that are no UTF-8: amqplib's own reading
    return {}
  }
}

/** amqplib reads the heartbeat interval, in seconds, from the URL's query and from nowhere else. */
function urlWithHeartbeat({ url, heartbeat }: RabbitmqSettings): string {
  const parsed = new URL(url.reveal())
  parsed.searchParams.set('heartbeat', String(Math.max(1, Math.round(heartbeat / 1000))))
  return parsed.href
}
