import { describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { publish } from '../support/dispatching.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { listen, soundlyAsleep, useWaking } from './waking-fixture.js'

describe.each(['pg18', 'pg15'] as const)('a sleeping dispatcher on %s', (server) => {
  const { database, pool, countedAsleep, dispatching, quiet, transaction } = useWaking(server)

  it('is woken by a publish, by nothing else; then publishers are quiet until it sleeps again', async () => {
    const ear = await listen(database())
    const { dispatcher, got } = await dispatching()
    // it has not slept yet
    for (let i = 0; i < 20; i++) await publish(pool(), 'order.created', { i })
    await ear.caughtUp()
    expect(ear.wakes).toEqual([])
    // inserts the message itself, where publish() has the function do it
    await using queue = new Queue({ connectionString: database().url })
    for (let round = 1; round <= 2; round++) {
      await soundlyAsleep(database(), dispatcher)
      await ear.caughtUp()
      const [beats, wakes] = [ear.beats.length, ear.wakes.length]
      await got(
        round === 1
          ? await publish(pool(), 'order.created', { round })
          : await queue.publish('order.created', { round }, { tx: null }),
      )
      await ear.caughtUp()
      expect(ear.beats.length, 'no heartbeat can have found it').toBe(beats)
      expect(ear.wakes.length).toBe(wakes + 1)
      await quiet(ear)
    }
  })

  it('delivers what was published before it fell asleep and is committed after, which wakes nobody', async () => {
    const ear = await listen(database())
    const { dispatcher, got } = await dispatching()
    const client = await transaction()
    const id = await publish(client, 'order.created', {})
    await waitFor(() => dispatcher.asleep)
    await ear.caughtUp()
    const beats = ear.beats.length
    await client.query('commit')
    await got(id)
    await ear.caughtUp()
    expect(ear.wakes).toEqual([])
    expect(ear.beats.length).toBe(beats)
  })

  it('is woken by a publisher whose snapshot is older than its sleep', async () => {
    const ear = await listen(database())
    const { dispatcher, got } = await dispatching()
    const client = await transaction('begin isolation level repeatable read')
    await client.query('select 1 from waybill.messages')
    await soundlyAsleep(database(), dispatcher)
    await ear.caughtUp()
    const beats = ear.beats.length
    const id = await publish(client, 'order.created', {})
    await client.query('commit')
    await got(id)
    await ear.caughtUp()
    expect(ear.wakes.length).toBe(1)
    expect(ear.beats.length).toBe(beats)
  })

  it.each([
    ['while it sleeps soundly', true],
    ['when it has seen the transaction run', false],
  ])('finds what was prepared without a notification and is committed %s', async (_, soundly) => {
    const ear = await listen(database())
    // heartbeats 0.9 s apart: nothing else finds it, as nothing wakes it
    const { adapter, dispatcher, got } = await dispatching({ leaseMs: 2000 })
    const [loud, silent] = [uniqueName('loud'), uniqueName('silent')]
    await waitFor(() => countedAsleep())
    const client = await transaction()
    const id = await publish(client, 'order.created', {})
    // a transaction that has notified can't be prepared
    await expect(client.query(`prepare transaction '${loud}'`)).rejects.toMatchObject({ code: '0A000' })
    await client.query(`begin; set local waybill.notify = off`)
    const prepared = await publish(client, 'order.created', {})
    await client.query(`prepare transaction '${silent}'`)
    if (!soundly) {
      const beats = ear.beats.length
      await waitFor(() => ear.beats.length > beats + 1 && dispatcher.asleep)
    }
    await client.query(`commit prepared '${silent}'`)
    await got(prepared)
    await ear.caughtUp()
    expect(ear.wakes).toEqual([])
    expect(adapter.ids()).not.toContain(id)
  })
})
