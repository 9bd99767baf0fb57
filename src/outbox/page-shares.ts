import { hashOfKey } from '../core/shard.js'
import type { LogMessage } from './message.js'

/** The part of a destination's keys that a lane has. */
export interface Share {
  readonly shard: number
  readonly shards: number
}

/** Each page's messages by shard, for each number of shards that was asked for. */
const shares = new WeakMap<readonly LogMessage[], Map<number, readonly (readonly LogMessage[])[]>>()

/**
 * The messages of a page that are one shard's, in order. Each page is dealt out once, however many lanes have it: 12 lanes that
 * each looked at every message spent more on that than on reading.
 */
export function shareOf(messages: readonly LogMessage[], { shard, shards }: Share): readonly LogMessage[] {
  if (shards === 1) return messages
  const known = shares.get(messages) ?? new Map<number, readonly (readonly LogMessage[])[]>()
  shares.set(messages, known)
  let dealt = known.get(shards)
  if (!dealt) known.set(shards, (dealt = deal(messages, shards)))
  return dealt[shard] ?? []
}

function deal(messages: readonly LogMessage[], shards: number): LogMessage[][] {
  const dealt: LogMessage[][] = Array.from({ length: shards }, () => [])
  for (const message of messages) dealt[hashOfKey(message.key, message.id) % shards]?.push(message)
  return dealt
}
