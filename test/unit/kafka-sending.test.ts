import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KafkaAdapter } from '../../src/adapters/kafka/adapter.js'
import { type Appended, type KafkaClient, KafkaFault, type KafkaRecord } from '../../src/adapters/kafka/client.js'
import { planWaves } from '../../src/adapters/kafka/plan.js'
import { kafkaSettings } from '../../src/config/destinations/kafka.js'
import type { OutboundMessage } from '../../src/adapters/contract.js'
import { deliver, message } from '../contract/destination.js'
import { waitFor } from '../support/wait-for.js'

const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
type Append = KafkaClient['append']

/** An adapter over a client that loses, refuses and waits as a test says. What a real broker does is in test/contract. */
function adapterWith(append: Append, { partitions = 2, topic = 'out' } = {}): KafkaAdapter {
  const settings = kafkaSettings.parse({ brokers: ['unused:1'], topic })
  const client: KafkaClient = {
    partitions: () => Promise.resolve(Array.from({ length: partitions }, (_, id) => ({ id, available: true }))),
    append,
    close: () => Promise.resolve(),
  }
  return new KafkaAdapter(settings, { destination: 'kafka', logger }, () => Promise.resolve(client))
}

/** Partitions as a broker would keep them. */
class Log {
  readonly held = new Map<string, KafkaRecord[]>()

  write(topic: string, partition: number, records: readonly KafkaRecord[]): Appended[] {
    const place = `${topic}/${partition}`
    const log = this.held.get(place) ?? []
    this.held.set(place, log)
    const baseOffset = String(log.length)
    log.push(...records)
    return [{ topic, partition, baseOffset }]
  }

  ids(): string[] {
    return [...this.held.values()].flat().map((record) => record.headers['id'] ?? '')
  }
}

describe('an answer that does not prove the delivery', () => {
  it.each([
    ['is empty', () => []],
    [
      'is about another partition',
      (topic: string, partition: number) => [{ topic, partition: partition + 1, baseOffset: '0' }],
    ],
    ['is about another topic', (_: string, partition: number) => [{ topic: 'other', partition, baseOffset: '0' }]],
    ['has no offset', (topic: string, partition: number) => [{ topic, partition, baseOffset: '' }]],
  ] as const)('%s: not delivered, not charged, and later messages of the key wait', async (_, answer) => {
    let calls = 0
    const adapter = adapterWith(
      (topic, partition) => {
        calls += 1
        return Promise.resolve<readonly Appended[]>(answer(topic, partition))
      },
      { partitions: 1, topic: '{topic}' },
    )
    const batch = [message({ topic: 'a', key: 'k' }), message({ topic: 'b', key: 'k' })]
    const { kinds, outcomes } = await deliver(adapter, batch)
    expect(kinds).toEqual(['pause', 'unsettled'])
    expect(outcomes[0]).toMatchObject({ failure: { code: 'KAFKA_NOT_ACKNOWLEDGED' } })
    expect(calls).toBe(1)
  })
})

describe('requests to one partition', () => {
  it('never overlap: not between calls, not after one was aborted', async () => {
    const log = new Log()
    const waiting: (() => void)[] = []
    const busy = new Set<string>()
    const adapter = adapterWith(async (topic, partition, records) => {
      const place = `${topic}/${partition}`
      expect(busy.has(place)).toBe(false)
      busy.add(place)
      await new Promise<void>((resolve) => waiting.push(resolve))
      busy.delete(place)
      return log.write(topic, partition, records)
    })
    const [first, second, third] = [0, 1, 2].map(() => Array.from({ length: 8 }, (_, i) => message({ key: `k${i}` })))
    if (!first || !second || !third) throw new Error('unreachable')
    const controller = new AbortController()
    const aborted = deliver(adapter, first, controller.signal)
    await waitFor(() => busy.size === 2)
    controller.abort()
    expect(new Set((await aborted).kinds)).toEqual(new Set(['unsettled']))
    const later = Promise.all([deliver(adapter, second), deliver(adapter, third)])
    const closing = later.then(() => adapter.close())
    await waitFor(() => {
      waiting.shift()?.()
      return log.ids().length === 24
    })
    expect(new Set((await later).flatMap((answer) => answer.kinds))).toEqual(new Set(['delivered']))
    await closing
    const place = (ids: readonly OutboundMessage[]) => Math.max(...ids.map(({ id }) => positions.get(id) ?? NaN))
    const positions = new Map(
      [...log.held.values()].flatMap((records) => records.map((r, i) => [r.headers['id'] ?? '', i])),
    )
    expect(place(first)).toBeLessThan(place(second))
    expect(place(second)).toBeLessThan(place(third))
  })

  it('of an aborted call stop after the one under way, and close waits for that one', async () => {
    let release: () => void = () => undefined
    let calls = 0
    const adapter = adapterWith(
      async (topic, partition) => {
        calls += 1
        await new Promise<void>((resolve) => (release = resolve))
        return [{ topic, partition, baseOffset: '0' }]
      },
      { partitions: 1 },
    )
    const payload = JSON.stringify('x'.repeat(600_000))
    const controller = new AbortController()
    const answering = deliver(adapter, [message({ payload }), message({ payload })], controller.signal)
    await waitFor(() => calls === 1)
    controller.abort()
    const answer = await answering
    let closed = false
    const closing = adapter.close().then(() => (closed = true))
    await Promise.resolve()
    expect(closed).toBe(false)
    release()
    await closing
    expect(calls).toBe(1)
    expect(answer.kinds).toEqual(['unsettled', 'unsettled'])
    expect(answer.breaches()).toEqual([])
  })
})

it('a client without work is let go, and the next call gets another', async () => {
  const events: string[] = []
  const adapter = new KafkaAdapter(
    kafkaSettings.parse({ brokers: ['unused:1'], topic: 'out' }),
    { destination: 'kafka', logger },
    () => {
      events.push('connect')
      return Promise.resolve({
        partitions: () => Promise.resolve([{ id: 0, available: true }]),
        append: (topic, partition) => Promise.resolve([{ topic, partition, baseOffset: '0' }]),
        close: () => Promise.resolve(void events.push('close')),
      })
    },
    20,
  )
  expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  await waitFor(() => events.includes('close'))
  expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  await adapter.close()
  expect(events).toEqual(['connect', 'close', 'connect', 'close'])
})

describe('order within a key', () => {
  const arbitraryBatch = fc.array(
    fc.record({
      key: fc.option(fc.constantFrom('a', 'b', 'c', 'd')),
      topic: fc.constantFrom('x', 'y'),
      poison: fc.boolean(),
    }),
    { minLength: 1, maxLength: 30 },
  )

  it('holds whatever is refused: nothing after an undelivered message of its key, everything else delivered', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryBatch, async (shapes) => {
        const log = new Log()
        const adapter = adapterWith(
          (topic, partition, records) => {
            const poisoned = records.some((record) => record.value.equals(Buffer.from('"poison"')))
            if (poisoned) return Promise.reject(new KafkaFault('record', 'KAFKA_MESSAGE_TOO_LARGE', 'too large'))
            return Promise.resolve(log.write(topic, partition, records))
          },
          { topic: '{topic}' },
        )
        const batch = shapes.map(({ key, topic, poison }) =>
          message({ key, topic, payload: poison ? '"poison"' : '1' }),
        )
        const { kinds, breaches } = await deliver(adapter, batch)
        const stopped = new Set<string>()
        const expected = batch.map(({ key, payload }) => {
          if (key !== null && stopped.has(key)) return 'unsettled'
          if (payload === '1') return 'delivered'
          if (key !== null) stopped.add(key)
          return 'dead'
        })
        expect(kinds).toEqual(expected)
        expect(breaches()).toEqual([])
        const delivered = batch.filter((_, i) => kinds[i] === 'delivered').map((each) => each.id)
        expect(log.ids().sort()).toEqual(delivered.sort())
      }),
      { numRuns: 200 },
    )
  })

  it('needs one wave where keys stay in their partition', () => {
    const target = { topic: 't', partitions: [0, 1, 2].map((id) => ({ id, available: true })), keyless: 1 }
    const batch = Array.from({ length: 100 }, (_, i) => message({ key: i % 10 === 0 ? null : `k${i % 7}` }))
    const waves = planWaves(batch, () => target)
    expect(waves).toHaveLength(1)
    for (const { items } of waves.flat()) {
      const places = items.map((item) => item.index)
      expect(places).toEqual([...places].sort((a, b) => a - b))
    }
  })
})
