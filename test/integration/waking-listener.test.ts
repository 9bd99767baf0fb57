import { describe, expect, it } from 'vitest'
import { publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { cutListeners, lastQueryAgo, listen, soundlyAsleep, useWaking } from './waking-fixture.js'

describe.each(['pg18', 'pg15'] as const)('sleep on %s', (server) => {
  const { database, pool, dispatching } = useWaking(server)

  it('is none where notifications do not arrive, as through a pooler: it polls at least once a second', async () => {
    const ear = await listen(database())
    const { dispatcher, got } = await dispatching({ listenUrl: database().pgbouncerUrl })
    await waitFor(async () => (await lastQueryAgo(database())) > 300, { what: 'slow polling' })
    await ear.caughtUp()
    const beats = ear.beats.length
    await got(await publish(pool(), 'order.created', {}))
    await ear.caughtUp()
    expect({ asleep: dispatcher.asleep, wakes: ear.wakes }).toEqual({ asleep: false, wakes: [] })
    expect(ear.beats.length).toBe(beats)
  })
})

describe('a dispatcher whose listening session ends', () => {
  const { database, pool, dispatching } = useWaking('pg18')

  it('polls until it has another, and sleeps again then', async () => {
    const ear = await listen(database())
    const { dispatcher, got } = await dispatching()
    await soundlyAsleep(database(), dispatcher)
    await ear.caughtUp()
    const beats = ear.beats.length
    expect(await cutListeners(database())).toBe(1)
    await waitFor(() => !dispatcher.asleep)
    await got(await publish(pool(), 'order.created', {}))
    await ear.caughtUp()
    expect(ear.beats.length).toBe(beats)
    // a heartbeat comes with the new session, and proves that it hears
    await soundlyAsleep(database(), dispatcher)
    await ear.caughtUp()
    const later = ear.beats.length
    expect(later).toBeGreaterThan(beats)
    const wakes = ear.wakes.length
    await got(await publish(pool(), 'order.created', {}))
    await ear.caughtUp()
    expect(ear.wakes.length).toBe(wakes + 1)
    expect(ear.beats.length).toBe(later)
  })
})
