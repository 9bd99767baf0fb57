const seed = 0x9747b28c
const m = 0x5bd1e995
const r = 24

/**
 * Kafka's murmur2, a signed 32-bit number, equal to `org.apache.kafka.common.utils.Utils.murmur2`. Our own in place of
 * kafkajs's, which computes the same with a heap-allocated 64-bit number for each step.
 */
export function murmur2(data: Uint8Array): number {
  const length = data.length
  let h = seed ^ length
  let i = 0
  for (; i + 4 <= length; i += 4) {
    let k = byte(data, i) | (byte(data, i + 1) << 8) | (byte(data, i + 2) << 16) | (byte(data, i + 3) << 24)
    k = Math.imul(k, m)
    k ^= k >>> r
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = length - i
  if (rest === 3) h ^= byte(data, i + 2) << 16
  if (rest >= 2) h ^= byte(data, i + 1) << 8
  if (rest >= 1) h = Math.imul(h ^ byte(data, i), m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return (h ^ (h >>> 15)) | 0
}

/** The partition that Java's default partitioner gives a key: `toPositive(murmur2(key)) % partitions`. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

function byte(data: Uint8Array, index: number): number {
  return data[index] ?? 0
}
