import type { OutboundMessage } from '../contract.js'
import type { KafkaRecord, Partition } from './client.js'
import { partitionOf } from './murmur2.js'

/** A message of the batch as a record on its way to a partition. */
export interface Planned {
  readonly index: number
  /** The message's key, for order. */
  readonly orderKey: string | null
  readonly record: KafkaRecord
  /** About what the record takes in a request. */
  readonly bytes: number
  /** It goes with the time of sending, since the brokers refused its own. */
  readonly sentNow?: boolean
}

/** What goes to one partition, in order. */
export interface Group {
  readonly topic: string
  readonly partition: number
  readonly items: Planned[]
}

/** Where a topic's records can go, and where those without a key go this time. */
export interface Target {
  readonly topic: string
  readonly partitions: readonly Partition[]
  readonly keyless: number
}

/** Bytes of a record besides key, value and headers, at most: lengths, deltas, attributes. */
const recordOverhead = 32

/**
 * Groups a batch by partition, in waves: the groups of one wave may be sent side by side, a wave after the one before.
 * Messages of one key usually share a partition and need one wave. Where they differ in topic, each waits in a later wave
 * for the ones before it, since it must not be delivered when one of those is not.
 */
export function planWaves(
  batch: readonly OutboundMessage[],
  targetOf: (message: OutboundMessage) => Target | undefined,
): Group[][] {
  const waves: Map<string, Group>[] = []
  const last = new Map<string, { wave: number; group: string }>()
  batch.forEach((message, index) => {
    const target = targetOf(message)
    if (target === undefined) return
    const { key } = message
    const item = planned(message, index)
    const { topic } = target
    const partition = item.record.key ? partitionOf(item.record.key, target.partitions.length) : target.keyless
    const group = `${topic}/${partition}`
    const before = key === null ? undefined : last.get(key)
    const wave = before === undefined ? 0 : before.group === group ? before.wave : before.wave + 1
    if (key !== null && before?.group !== group) last.set(key, { wave, group })
    const groups = (waves[wave] ??= new Map<string, Group>())
    const found = groups.get(group)
    if (found) found.items.push(item)
    else groups.set(group, { topic, partition, items: [item] })
  })
  return waves.map((groups) => [...groups.values()])
}

function planned(message: OutboundMessage, index: number): Planned {
  const { key } = message
  const value = Buffer.from(message.payload)
  const keyBytes = key === null ? null : Buffer.from(key)
  // System names come last and win. The attempt is not among them: a record does not change when it is sent again.
  const headers = { ...message.headers, id: message.id, topic: message.topic }
  let bytes = recordOverhead + value.length + (keyBytes?.length ?? 0)
  for (const [name, text] of Object.entries(headers)) bytes += 4 + Buffer.byteLength(name) + Buffer.byteLength(text)
  const timestamp = String(message.createdAt.getTime())
  return { index, orderKey: key, record: { key: keyBytes, value, headers, timestamp }, bytes }
}

/**
 * The same record with the time of sending, and the message's own in a header. Kafka refuses records whose time is too far
 * from its own (4.0: an hour ahead; a topic may bound how old): a clock that is wrong, or a backlog, is no fault of a message.
 */
export function sentNow(item: Planned, now: number): Planned {
  const { record } = item
  const headers = { 'created-at': new Date(Number(record.timestamp)).toISOString(), ...record.headers }
  return { ...item, record: { ...record, headers, timestamp: String(now) }, sentNow: true }
}

/** Cuts a group's items into runs of at most `maxBytes`, each of one item at least, in order. */
export function chunks(items: readonly Planned[], maxBytes: number): Planned[][] {
  const runs: Planned[][] = []
  let run: Planned[] = []
  let bytes = 0
  for (const item of items) {
    if (run.length > 0 && bytes + item.bytes > maxBytes) {
      runs.push(run)
      run = []
      bytes = 0
    }
    run.push(item)
    bytes += item.bytes
  }
  if (run.length > 0) runs.push(run)
  return runs
}
