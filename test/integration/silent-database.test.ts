import { describe, expect, it, onTestFinished } from 'vitest'
import { createPool, endPool } from '../../src/db/pool.js'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { ScriptedAdapter, publish, startDispatcher } from '../support/dispatching.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { waitFor } from '../support/wait-for.js'
import { count, memoryLogger, useDispatching } from './dispatching-fixture.js'

const leaseMs = 1500

describe('a dispatcher whose network to the database falls silent', () => {
  const { database, pool } = useDispatching()

  async function dispatching(): Promise<{
    dispatcher: Dispatcher
    network: HalfOpenProxy
    adapter: ScriptedAdapter
    logger: ReturnType<typeof memoryLogger>
  }> {
    const network = await startHalfOpenProxy({ port: Number(new URL(database().url).port) })
    const url = network.through(database().url)
    const own = createPool({ connectionString: url })
    const adapter = new ScriptedAdapter()
    const logger = memoryLogger()
    const destinations = { crm: { adapter, settings: { shards: 2 } } }
    const dispatcher = await startDispatcher({ pool: own, listenUrl: url, destinations, leaseMs, logger })
    onTestFinished(async () => {
      network.restore()
      await dispatcher.stop({ drainMs: 0 })
      await endPool(own)
    })
    return { dispatcher, network, adapter, logger }
  }

  it('delivers again soon when the network forgot its connections, and new ones go through', async () => {
    const { dispatcher, network, adapter } = await dispatching()
    const first = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.ids().includes(first))
    await waitFor(() => dispatcher.asleep, { what: 'sleep' })
    network.forget()
    const second = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.ids().includes(second))
    // and it hears again when something is published
    await waitFor(() => dispatcher.asleep, { what: 'sleep with a new listener' })
    const third = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.ids().includes(third))
    await waitFor(() => dispatcher.healthy, { what: 'a heartbeat in time' })
  })

  it('stops all the same, in time, and leaves its lanes to their lease', async () => {
    const { dispatcher, network, logger } = await dispatching()
    await waitFor(() => dispatcher.lanes().length === 2)
    network.swallow()
    await dispatcher.stop({ drainMs: 0 })
    expect(logger.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toContain(
      'stopped without an answer of the database: others wait for the leases to end',
    )
    expect(await count(pool(), 'lanes', 'holder is not null')).toBe(2)
  })
})
