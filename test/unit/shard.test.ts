import { expect, it } from 'vitest'
import { hashOfKey, shardOf } from '../../src/core/shard.js'

// FNV-1a, 32 bit: test vectors of draft-eastlake-fnv, appendix C
it.each([
  ['', 0x811c9dc5],
  ['a', 0xe40c292c],
  ['foobar', 0xbf9cf968],
])('the hash of %j is that of FNV-1a', (key, hash) => {
  expect(hashOfKey(key, 'an id')).toBe(hash)
  expect(hashOfKey(null, key)).toBe(hash)
})

it.each(['ü', 'order-ü', 'ascii first, then 猫', '\u{1f600}', 'half a pair \ud800'])(
  '%j is hashed by its bytes in UTF-8',
  (key) => {
    let hash = 0x811c9dc5n
    for (const byte of Buffer.from(key, 'utf8')) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn
    expect(hashOfKey(key, 'an id')).toBe(Number(hash))
    expect(shardOf(key, 'an id', 7)).toBe(Number(hash % 7n))
  },
)
