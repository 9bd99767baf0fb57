/**
 * The shard of a message: FNV-1a (32 bit) over the UTF-8 of its key, or of its id when it has none, modulo `shards`.
 * Stored positions depend on it: changing it is changing `shards`, at a barrier.
 */
export function shardOf(key: string | null, id: string, shards: number): number {
  return shards === 1 ? 0 : hashOfKey(key, id) % shards
}

/** The hash that shards are made of: 0 to 2³² − 1. */
export function hashOfKey(key: string | null, id: string): number {
  const text = key ?? id
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return hashOfBytes(Buffer.from(text, 'utf8'))
    hash = Math.imul(hash ^ code, 0x01000193)
  }
  return hash >>> 0
}

function hashOfBytes(bytes: Buffer): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
