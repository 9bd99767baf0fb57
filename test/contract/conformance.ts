import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Adapter,
  type OutboundMessage,
  type Outcome,
  type TransactionalAdapter,
  isTransactional,
} from '../../src/adapters/contract.js'
import { describeConnected } from './conformance-connected.js'
import {
  type ConformanceOptions,
  type ConnectedDestination,
  type TestDestination,
  type TransactionalDestination,
  asHandedOver,
  deliver,
  message,
} from './destination.js'

type Setup<D extends TestDestination> = () => Promise<D> | D

/** What the tests of every kind of adapter share. */
interface Subject<D extends TestDestination> {
  readonly destination: () => D
  readonly adapter: () => Adapter
  readonly topic: string
  /** Hands a batch over in the way the adapter takes it. */
  readonly hand: (batch: readonly OutboundMessage[]) => Promise<readonly (Outcome | undefined)[]>
}

/**
 * `src/adapters/contract.ts`, executable: what every adapter does, whatever its protocol. Adapters have tests of their own
 * for what their protocol adds.
 */
export function conformance(name: string, setup: Setup<ConnectedDestination>, options: ConformanceOptions): void {
  describe(`${name}: the adapter contract`, () => {
    const { destination, adapter } = fresh(setup)
    const subject: Subject<ConnectedDestination> = {
      ...{ destination, adapter, topic: options.topics[0] },
      async hand(batch) {
        const answer = await deliver(adapter(), batch)
        expect(answer.breaches()).toEqual([])
        return answer.outcomes
      },
    }
    describeAny(subject, options)
    describeConnected(subject)
  })
}

/** The same for an adapter that writes in the cursor's transaction. */
export function transactionalConformance(
  name: string,
  setup: Setup<TransactionalDestination>,
  options: ConformanceOptions,
): void {
  describe(`${name}: the adapter contract`, () => {
    const { destination, adapter } = fresh(setup)
    const hand = (batch: readonly OutboundMessage[]) =>
      destination().transaction((tx) => transactional(adapter()).deliverIn(tx, batch))
    const topic = options.topics[0]
    describeAny({ destination, adapter, topic, hand }, options)

    it('forgets a batch whose transaction was rolled back', async () => {
      const rolledBack = destination().transaction(async (tx) => {
        await transactional(adapter()).deliverIn(tx, [message({ topic })])
        throw new Error('roll back')
      })
      await expect(rolledBack).rejects.toThrow('roll back')
      expect(await destination().received()).toEqual([])
    })
  })
}

function transactional(adapter: Adapter): TransactionalAdapter {
  if (!isTransactional(adapter)) throw new Error(`${adapter.kind} is not a transactional adapter`)
  return adapter
}

/** A destination and an adapter for each test. */
function fresh<D extends TestDestination>(setup: Setup<D>): { destination: () => D; adapter: () => Adapter } {
  let destination: D
  let adapter: Adapter
  beforeEach(async () => {
    destination = await setup()
    adapter = destination.makeAdapter()
  })
  afterEach(async () => {
    await adapter.close()
    await destination.cleanup()
  })
  return { destination: () => destination, adapter: () => adapter }
}

function describeAny<D extends TestDestination>(subject: Subject<D>, options: ConformanceOptions): void {
  const { destination, adapter, topic, hand } = subject

  /** Hands messages over as a lane would, through whichever way in the adapter has; all must be delivered. */
  async function send(messages: readonly OutboundMessage[]): Promise<void> {
    for (const batch of asHandedOver(adapter(), messages)) {
      const outcomes = await hand(batch)
      expect(outcomes).toEqual(batch.map(() => expect.objectContaining({ kind: 'delivered' }) as unknown))
    }
  }

  it('says what it can do', () => {
    const { ordered, maxBatch, concurrency, transactional } = adapter().capabilities
    expect(adapter().kind).toMatch(/^[a-z][a-z0-9-]*$/)
    expect([typeof ordered, typeof transactional]).toEqual(['boolean', 'boolean'])
    expect(Number.isInteger(maxBatch) && maxBatch >= 1).toBe(true)
    expect(Number.isInteger(concurrency) && concurrency >= 1).toBe(true)
    expect(isTransactional(adapter())).toBe(transactional)
  })

  it('delivers each message of a full batch once, with one outcome', async () => {
    const count = Math.min(adapter().capabilities.maxBatch, 1000)
    const batch = Array.from({ length: count }, (_, i) => message({ topic, key: i % 3 === 0 ? null : `key-${i}` }))
    await send(batch)
    const arrived = await destination().received()
    expect(arrived.map((each) => each.id).sort()).toEqual(batch.map((each) => each.id).sort())
  })

  it('accepts an empty batch', async () => {
    expect(await hand([])).toEqual([])
    expect(await destination().received()).toEqual([])
  })

  it.each([
    ['unicode', '{"text":"Zürich – 東京 – 😀 – \u202eabc"}'],
    ['escapes', '{"text":"\\u00e9 \\/ \\" \\\\ \\n \\u0000 \\ud83d\\ude00"}'],
    ['whitespace', ' {\n\t"a" :  1 ,\r\n "a": 2 }  '],
    ['numbers that JavaScript would round', '{"n":12345678901234567890.000000000000000010,"e":1E400,"z":-0}'],
    ['an order of fields that an object would lose', '{"b":1,"10":2,"9":3,"__proto__":4}'],
    ['text', '"text"'],
    ['null', 'null'],
    ['an empty object', '{}'],
  ])('keeps the bytes of a payload: %s', async (_, payload) => {
    const sent = message({ topic, payload })
    await send([sent])
    const [arrived] = await destination().received()
    expect(arrived?.payload.toString('utf8')).toBe(payload)
  })

  it('keeps the bytes of a large payload', async () => {
    const size = options.largestPayload ?? 1024 * 1024
    const payload = JSON.stringify({ text: 'é1'.repeat(Math.floor((size - 20) / 3)) })
    await send([message({ topic, payload })])
    const [arrived] = await destination().received()
    expect(arrived?.payload.equals(Buffer.from(payload))).toBe(true)
  })

  it('carries id, topic, key and headers', async () => {
    const headers = {
      'x-tenant': 'Ümläut & co',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    }
    const sent = options.topics.map((each) => message({ topic: each, key: `kunde "ü" ${each}`, headers }))
    await send(sent)
    const arrived = await destination().received()
    for (const { id, topic, key } of sent) {
      const found = arrived.find((each) => each.id === id)
      expect(found).toMatchObject({ id, topic, key, headers })
    }
  })

  it('tells a message without a key from one with an empty key', async () => {
    const [none, empty] = [message({ topic, key: null }), message({ topic, key: '' })]
    await send([none, empty])
    const arrived = await destination().received()
    expect(arrived.find((each) => each.id === none.id)?.key).toBeNull()
    expect(arrived.find((each) => each.id === empty.id)?.key).toBe('')
  })

  it('does not let an application header pass for one of the system', async () => {
    const forged = Object.fromEntries((options.systemHeaders ?? []).map((name) => [name, 'forged']))
    const [keyed, keyless] = [
      message({ topic, key: 'real', headers: { ...forged, 'x-own': 'kept' } }),
      message({ topic, key: null, headers: { ...forged, 'x-own': 'kept' } }),
    ]
    await send([keyed, keyless])
    const arrived = await destination().received()
    for (const { id, key } of [keyed, keyless]) {
      const found = arrived.find((each) => each.id === id)
      expect(found).toMatchObject({ id, topic, key, headers: { 'x-own': 'kept' } })
      expect(Object.values(found?.headers ?? {})).not.toContain('forged')
    }
  })

  it('keeps the order within a key', async () => {
    const messages = Array.from({ length: 60 }, (_, i) =>
      message({ topic: options.topics[i % options.topics.length] ?? topic, key: `key-${i % 3}` }),
    )
    await send(messages)
    const arrived = await destination().received()
    for (const key of ['key-0', 'key-1', 'key-2']) {
      const of = (list: readonly { key: string | null; topic: string; id: string }[], wanted: string) =>
        list.filter((each) => each.key === key && each.topic === wanted).map((each) => each.id)
      for (const wanted of options.topics) expect(of(arrived, wanted)).toEqual(of(messages, wanted))
    }
  })

  it('does not change what it was given', async () => {
    const given = Object.freeze(message({ topic, key: 'k', headers: Object.freeze({ 'x-a': '1' }) }))
    await send(Object.freeze([given]))
    expect(given.headers).toEqual({ 'x-a': '1' })
  })

  it('can be closed twice, and closed without having delivered', async () => {
    await Promise.all([adapter().close(), adapter().close()])
    await adapter().close()
  })

  it('delivers nothing after close', async () => {
    await send([message({ topic })])
    await adapter().close()
    const late = adapter().deliver([message({ topic })], {
      signal: new AbortController().signal,
      settle: () => expect.unreachable('settled after close'),
    })
    await expect(late).rejects.toMatchObject({ code: 'WAYBILL_ADAPTER_CLOSED' })
    expect(await destination().received()).toHaveLength(1)
  })
}
