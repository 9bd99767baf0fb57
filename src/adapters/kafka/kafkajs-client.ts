import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { ISocketFactory, Kafka, KafkaConfig, logCreator, Producer } from 'kafkajs'
import { messageOf } from '../../core/errors.js'
import { loadPeer } from '../../core/load-peer.js'
import { within } from '../../core/within.js'
import { lookups } from '../../network/lookups.js'
import type { KafkaSettings } from '../../config/destinations/kafka.js'
import { tlsOptions } from '../../config/destinations/tls.js'
import type { AdapterContext } from '../contract.js'
import { type Appended, type KafkaClient, KafkaFault, type KafkaRecord, type Partition } from './client.js'
import { faultOf, protocolErrorOf } from './kafkajs-faults.js'

/** How long kafkajs may take to disconnect before its sockets are destroyed. */
const goodbyeMs = 2000

/** Connects to a cluster with kafkajs 2.2, which is loaded here, at the first use. */
export async function connectKafkajs(settings: KafkaSettings, context: AdapterContext): Promise<KafkaClient> {
  // kafkajs is CommonJS whose names Node cannot see from outside: everything is under its default export.
  const { default: kafkajs } = await loadPeer('kafkajs', () => import('kafkajs'))
  const sockets = new Set<Socket>()
  const kafka = new kafkajs.Kafka({
    ...connection(settings),
    logLevel: kafkajs.logLevel.WARN,
    logCreator: logTo(context),
    socketFactory: socketFactory(sockets),
  })
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    // kafkajs's `idempotent` rolls sequence numbers back under concurrent sends, and brokers then drop records.
    idempotent: false,
    // A retry inside kafkajs skips brokers that have answered already: after a leader moved to one of those, `send`
    // resolves with a partition that was never sent (sendMessages.js, responsePerBroker).
    retry: { retries: 0 },
    metadataMaxAge: settings.metadataMaxAge,
    // Every record names its partition, so this is never asked; without it kafkajs warns.
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  const compression = kafkajs.CompressionTypes[settings.compression === 'gzip' ? 'GZIP' : 'None']
  const client = new KafkajsClient(kafka, producer, sockets, { compression, timeout: settings.requestTimeout })
  try {
    await producer.connect()
  } catch (error) {
    await client.close()
    throw faultOf(error)
  }
  return client
}

class KafkajsClient implements KafkaClient {
  readonly #kafka: Kafka
  readonly #producer: Producer
  readonly #sockets: ReadonlySet<Socket>
  readonly #options: { readonly compression: number; readonly timeout: number }
  readonly #calls = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(
    kafka: Kafka,
    producer: Producer,
    sockets: ReadonlySet<Socket>,
    options: { readonly compression: number; readonly timeout: number },
  ) {
    this.#kafka = kafka
    this.#producer = producer
    this.#sockets = sockets
    this.#options = options
  }

  partitions(topic: string): Promise<readonly Partition[] | undefined> {
    return this.#call(() => this.#describe(topic))
  }

  append(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<readonly Appended[]> {
    return this.#call(async () => {
      const messages = records.map((record) => ({ ...record, partition }))
      const written = await this.#producer.send({ topic, messages, acks: -1, ...this.#options })
      return written.map((entry) => ({
        topic: entry.topicName,
        partition: entry.partition,
        baseOffset: entry.baseOffset ?? entry.offset ?? '',
      }))
    })
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #call<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closing)
      throw new KafkaFault('down', 'KAFKA_CLIENT_CLOSED', 'the client is being replaced after a failure')
    const call = work()
    this.#calls.add(call)
    try {
      return await call
    } catch (error) {
      throw faultOf(error)
    } finally {
      this.#calls.delete(call)
    }
  }

  /**
   * An admin client for each look-up: kafkajs refreshes the metadata of all topics it was ever asked for together, and one
   * that was deleted since fails the refresh for all of them.
   */
  async #describe(topic: string): Promise<readonly Partition[] | undefined> {
    const admin = this.#kafka.admin()
    try {
      await admin.connect()
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      const found = topics.find((each) => each.name === topic)
      return found?.partitions
        .map(({ partitionId, leader }) => ({ id: partitionId, available: leader >= 0 }))
        .sort((a, b) => a.id - b.id)
    } catch (error) {
      if (protocolErrorOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
      // kafkajs reads a property of null where no broker answered (cluster/index.js, metadata).
      if (error instanceof TypeError) {
        throw new KafkaFault('down', 'KAFKA_METADATA_UNAVAILABLE', 'no broker gave the metadata', { cause: error })
      }
      throw error
    } finally {
      void admin.disconnect().catch(() => undefined) // its sockets are destroyed with the client's at the latest
    }
  }

  async #close(): Promise<void> {
    // First the calls: each ends by its own time-out, which kafkajs stops watching once it disconnects.
    await Promise.allSettled(this.#calls)
    // What fails to disconnect is disconnected below.
    const goodbye = this.#producer.disconnect().catch(() => undefined)
    await within(goodbyeMs, goodbye)
    for (const socket of this.#sockets) socket.destroy()
  }
}

function connection(settings: KafkaSettings): KafkaConfig {
  const { brokers, clientId, ssl, sasl, connectionTimeout, requestTimeout } = settings
  const config: KafkaConfig = {
    brokers: brokers.map(writtenForKafkajs),
    clientId,
    connectionTimeout,
    authenticationTimeout: connectionTimeout,
    requestTimeout,
    // Of connecting, where each retry takes the next of `brokers`; sending has none.
    retry: { retries: brokers.length, initialRetryTime: 50, maxRetryTime: 1000 },
    ssl: typeof ssl === 'boolean' ? ssl : tlsOptions(ssl),
  }
  if (sasl) {
    const { mechanism, username, password } = sasl
    config.sasl = { mechanism, username, password: password.reveal() } as NonNullable<KafkaConfig['sasl']>
  }
  return config
}

const literal = '.ipv6'

/** kafkajs cuts a broker at its first colon: an IPv6 address gets through as a name, which the socket reads back. */
function writtenForKafkajs(broker: string): string {
  return broker.replace(/^\[(.+)\]:/, (_, address: string) => `${address.replaceAll(':', '-')}${literal}:`)
}

function readFromKafkajs(host: string): string {
  const address = host.endsWith(literal) ? host.slice(0, -literal.length).replaceAll('-', ':') : ''
  return isIP(address) === 6 ? address : host
}

/** kafkajs's own, and remembers the sockets: kafkajs only half-closes them, which a dead network never answers. */
function socketFactory(sockets: Set<Socket>): ISocketFactory {
  return ({ host: name, port, ssl, onConnect }) => {
    const host = readFromKafkajs(name)
    // kafkajs's types leave out that `ssl` is null without TLS.
    const tls = ssl as ConnectionOptions | null
    const { lookup } = lookups
    const socket = tls
      ? connectTls({ host, port, lookup, ...(isIP(host) === 0 && { servername: host }), ...tls }, onConnect)
      : connectTcp({ host, port, lookup }, onConnect)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    return socket
  }
}

/** Whatever kafkajs logs is about a failure that becomes an outcome too, so it goes to the debug level. */
function logTo({ logger, destination }: AdapterContext): logCreator {
  return () =>
    ({ namespace, log }) =>
      logger.debug(
        { destination, namespace, error: log['error'] === undefined ? undefined : messageOf(log['error']) },
        log.message,
      )
}
