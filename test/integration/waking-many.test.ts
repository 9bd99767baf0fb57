import { describe, expect, it } from 'vitest'
import { fallAsleep, wakeUp } from '../../src/outbox/dispatcher-store.js'
import { publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { listen, soundlyAsleep, useWaking } from './waking-fixture.js'

describe.each(['pg18', 'pg15'] as const)('of several dispatchers one that sleeps on %s', (server) => {
  const { database, pool, dispatching, quiet } = useWaking(server)

  it('that stops leaves publishers notifying, until another hears one', async () => {
    const ear = await listen(database())
    const { dispatcher } = await dispatching()
    await soundlyAsleep(database(), dispatcher)
    await dispatcher.stop()
    const awake = await dispatching()
    const id = await publish(pool(), 'order.created', {})
    await ear.caughtUp()
    expect(ear.wakes.length).toBe(1)
    await awake.got(id)
    await quiet(ear)
  })

  it('is one of two: each wakes for what the other would not deliver, also when one sleeps on', async () => {
    const ear = await listen(database())
    const [one, two] = [await dispatching({ leaseMs: 2000 }), await dispatching({ leaseMs: 2000 })]
    await waitFor(() => [one, two].every(({ dispatcher }) => dispatcher.lanes().length === 1))
    for (let round = 0; round < 3; round++) {
      await waitFor(() => one.dispatcher.asleep && two.dispatcher.asleep)
      const ids: string[] = []
      for (let i = 0; i < 8; i++) ids.push(await publish(pool(), 'order.created', {}, { key: `k${i}` }))
      await waitFor(() => ids.every((id) => one.adapter.ids().includes(id) || two.adapter.ids().includes(id)))
      expect(ids.some((id) => one.adapter.ids().includes(id))).toBe(true)
      expect(ids.some((id) => two.adapter.ids().includes(id))).toBe(true)
    }
    await ear.caughtUp()
    expect(ear.wakes.length).toBeGreaterThan(0)
  })

  it('is still counted asleep when it fell asleep after the notification that another answers', async () => {
    const ear = await listen(database())
    const wakes = async (): Promise<string[]> => {
      const from = ear.wakes.length
      await publish(pool(), 'order.created', {})
      await ear.caughtUp()
      return ear.wakes.slice(from)
    }
    expect(await wakes()).toEqual([])
    await fallAsleep(pool())
    const [first] = await wakes()
    await fallAsleep(pool())
    await wakeUp(pool(), first as string)
    const [second] = await wakes()
    expect(Number(second)).toBe(Number(first) + 1)
    await wakeUp(pool(), second as string)
    expect(await wakes()).toEqual([])
    // an answer that was long on its way wakes nobody up and puts nobody to sleep
    await wakeUp(pool(), first as string)
    expect(await wakes()).toEqual([])
  })
})
