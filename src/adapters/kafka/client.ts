/**
 * All that the adapter needs of a Kafka client, so that a better one can take kafkajs's place. An implementation keeps no
 * retries of its own: the adapter and the lane decide what is sent again, in which order.
 */
export interface KafkaRecord {
  readonly key: Buffer | null
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since 1970, decimal. */
  readonly timestamp: string
}

export interface Partition {
  readonly id: number
  /** False while the partition has no leader and takes nothing. */
  readonly available: boolean
}

/** What the broker says it appended. */
export interface Appended {
  readonly topic: string
  readonly partition: number
  /** Offset of the call's first record in the partition; the others follow without gaps. */
  readonly baseOffset: string
}

export interface KafkaClient {
  /** The topic's partitions by id, asked of the brokers anew; undefined where there is no such topic. Throws `KafkaFault`. */
  partitions(topic: string): Promise<readonly Partition[] | undefined>
  /**
   * Appends all records to one partition, or none; acknowledged by all in-sync replicas. Gives what the brokers confirmed,
   * which the caller must check. Throws `KafkaFault`.
   */
  append(topic: string, partition: number, records: readonly KafkaRecord[]): Promise<readonly Appended[]>
  /** Waits for calls under way, then frees the sockets. Never rejects; safe to call twice. */
  close(): Promise<void>
}

/** Connects; throws `KafkaFault`, or `WAYBILL_PEER_MISSING`. */
export type KafkaConnect = () => Promise<KafkaClient>

/**
 * `record`: one of the records is why all were refused. `timestamp`: the time of one of them is. `down`: the brokers cannot take them now. `misconfigured`: nor
 * later, until somebody mends something.
 */
export type FaultKind = 'record' | 'timestamp' | 'down' | 'misconfigured'

/** What a Kafka client could not do. `code` is stable: `KAFKA_` and the protocol's name of the error. */
export class KafkaFault extends Error {
  readonly kind: FaultKind
  readonly code: string

  constructor(kind: FaultKind, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'KafkaFault'
    this.kind = kind
    this.code = code
  }
}
