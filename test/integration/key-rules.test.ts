import { describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { flawOf } from '../../src/outbox/message.js'
import { useDatabase } from '../support/database.js'

describe.each(['pg18', 'pg15'] as const)('a key on %s', (server) => {
  const database = useDatabase({ server })

  it('is the same for a publish, for the SQL function, for an insert by hand and for a lane', async () => {
    const queue = new Queue({ pool: database().pool })
    const keys: readonly [string, boolean][] = [
      ['', false],
      ['k', true],
      ['a b', true],
      ['\u00a0', true],
      ...['\u0001', '\u001f', '\u007f', '\u0080', '\u0085', '\u009f'].map((key): [string, boolean] => [key, false]),
      ['x'.repeat(1024), true],
      ['x'.repeat(1025), false],
      ['ü'.repeat(512), true],
      [`${'ü'.repeat(512)}x`, false],
      ['🚀'.repeat(256), true],
      [`${'€'.repeat(341)}ab`, false],
    ]
    for (const [key, good] of keys) {
      const published = await queue.publish('t', 1, { tx: null, key }).then(
        () => true,
        () => false,
      )
      const { rows } = await database().pool.query<{ good: boolean }>('select waybill.is_key($1) as good', [key])
      const read = flawOf({ topic: 't', key, headers: {}, large: false }) === undefined
      expect([key, published, rows[0]?.good, read]).toEqual([key, good, good, good])
    }
  })
})
