import { expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/contract.js'
import { waitFor } from '../support/wait-for.js'
import { deliver, message, type ConnectedDestination } from './destination.js'

/** What an adapter may say while its destination is away: nothing that costs a message an attempt. */
const uncharged = new Set(['pause', 'unsettled'])

interface Subject {
  readonly destination: () => ConnectedDestination
  readonly adapter: () => Adapter
  readonly topic: string
}

/** The part of the contract about the network; left out for transactional adapters, whose network is the database's. */
export function describeConnected({ destination, adapter, topic }: Subject): void {
  const batchOf = (count: number) => Array.from({ length: count }, (_, i) => message({ topic, key: `key-${i}` }))
  const delivered = (ids: readonly string[], kinds: readonly string[]) => ids.filter((_, i) => kinds[i] === 'delivered')

  it('connects to nothing before the first delivery', async () => {
    const other = destination().makeAdapter()
    await destination().received() // time for a connection, had one been asked for
    expect(destination().connections()).toBe(0)
    await other.close()
  })

  it('charges nothing while the destination is away, and delivers when it is back', async () => {
    await destination().breakDestination()
    const batch = batchOf(5)
    const away = await deliver(adapter(), batch)
    expect(away.kinds.filter((kind) => !uncharged.has(kind))).toEqual([])
    expect(away.kinds).toContain('pause')
    await destination().healDestination()
    await untilDelivered(batch)
    expect(away.breaches()).toEqual([])
    expect(new Set((await destination().received()).map((each) => each.id))).toEqual(new Set(batch.map((m) => m.id)))
  })

  it('survives losing a connection that was in use', async () => {
    await untilDelivered(batchOf(3))
    await destination().breakDestination()
    const batch = batchOf(3)
    const away = await deliver(adapter(), batch)
    expect(away.kinds.filter((kind) => !uncharged.has(kind))).toEqual([])
    await destination().healDestination()
    await untilDelivered(batch)
    expect(away.breaches()).toEqual([])
  })

  /** The same adapter, without help; until then it may only say that the destination is away. */
  async function untilDelivered(batch: ReturnType<typeof batchOf>): Promise<void> {
    let rest = batch
    await waitFor(
      async () => {
        const answer = await deliver(adapter(), rest)
        expect(answer.breaches()).toEqual([])
        expect(answer.kinds.filter((kind) => kind !== 'delivered' && !uncharged.has(kind))).toEqual([])
        rest = rest.filter((_, i) => answer.kinds[i] !== 'delivered')
        return rest.length === 0
      },
      { intervalMs: 100, what: 'delivery after the destination came back' },
    )
  }

  it('gives up on a destination that never answers, and delivers when it does again', async () => {
    await untilDelivered(batchOf(1))
    await destination().stallDestination()
    const batch = batchOf(3)
    const answer = await deliver(adapter(), batch)
    // `retry` too: over HTTP, one slow answer says nothing about the destination as a whole.
    expect(answer.kinds.filter((kind) => !uncharged.has(kind) && kind !== 'retry')).toEqual([])
    await destination().healDestination()
    await untilDelivered(batch)
    expect(answer.breaches()).toEqual([])
  })

  it('sends nothing when it is aborted before it starts', async () => {
    const answer = await deliver(adapter(), batchOf(2), AbortSignal.abort())
    expect(answer.kinds).toEqual(['unsettled', 'unsettled'])
    await adapter().close()
    expect(await destination().received()).toEqual([])
    expect(answer.breaches()).toEqual([])
  })

  it('stops promptly when it is aborted, and settles nothing more', async () => {
    await untilDelivered(batchOf(1))
    await destination().stallDestination()
    const started = performance.now()
    const answer = await deliver(adapter(), batchOf(3), AbortSignal.timeout(100))
    expect(performance.now() - started).toBeLessThan(1800) // no time-out of an adapter under test is shorter than 2 s
    expect(answer.kinds).toEqual(['unsettled', 'unsettled', 'unsettled'])
    await destination().healDestination()
    await untilDelivered(batchOf(1))
    await adapter().close()
    expect(answer.breaches()).toEqual([])
  })

  it('close waits for what is under way', async () => {
    await untilDelivered(batchOf(1))
    const batch = batchOf(20)
    let ended = false
    const answering = deliver(adapter(), batch).finally(() => (ended = true))
    await adapter().close()
    expect(ended).toBe(true)
    const { kinds } = await answering
    expect(kinds).toEqual(batch.map(() => 'delivered'))
    const arrived = new Set((await destination().received()).map((each) => each.id))
    expect(batch.filter((each) => !arrived.has(each.id))).toEqual([])
  })

  it('takes as many calls at once as it says', async () => {
    const calls = Array.from({ length: adapter().capabilities.concurrency }, () => batchOf(25))
    const answers = await Promise.all(calls.map((batch) => deliver(adapter(), batch)))
    const said = answers.flatMap((answer, i) => delivered(calls[i]?.map((each) => each.id) ?? [], answer.kinds))
    expect(said).toHaveLength(calls.length * 25)
    expect((await destination().received()).map((each) => each.id).sort()).toEqual(said.sort())
    expect(answers.flatMap((answer) => answer.breaches())).toEqual([])
  })
}
