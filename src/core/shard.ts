/**
 * The shard of a message: FNV-1a (32 bit) over the UTF-8 of its key, or of its id when it has none, modulo `shards`.
 * Stored positions depend on it: changing it is changing `shards`, at a barrier.
 */
export function shardOf(key: string | null, id: string, shards: number): number {
  if (shards === 1) return 0
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key ?? id, 'utf8')) {
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return (hash >>> 0) % shards
}
