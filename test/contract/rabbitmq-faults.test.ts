import { createServer, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/contract.js'
import { onFileEnd } from '../support/cleanup.js'
import { amqpManagementUrl, amqpUrl, createTestQueue } from '../support/rabbitmq.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { startAmqpInjector } from './amqp-injector.js'
import { deliver, message } from './destination.js'
import { rabbitAdapter, rabbitDestination } from './rabbitmq-fixture.js'

const brokerPort = () => Number(new URL(amqpUrl()).port)
const batchOf = (count: number) => Array.from({ length: count }, () => message())

describe('a connection that breaks', () => {
  let destination: Awaited<ReturnType<typeof rabbitDestination>>
  let adapter: Adapter
  beforeEach(async () => {
    destination = await rabbitDestination()
    adapter = destination.makeAdapter()
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  })
  afterEach(async () => {
    await adapter.close()
    await destination.cleanup()
  })

  it('in the middle of a batch: pauses, loses nothing, doubles no more than the batch', async () => {
    const patient = rabbitAdapter({
      url: destination.proxy.through(amqpUrl()),
      exchange: destination.exchange,
      confirmTimeout: '60s',
    })
    expect((await deliver(patient, [message()])).kinds).toEqual(['delivered'])
    destination.proxy.swallow('toClient') // the broker takes the messages, its confirms do not come
    const batch = batchOf(300)
    const answering = deliver(patient, batch)
    await waitFor(async () => (await destination.received()).length > 100, { what: '100 messages at the broker' })
    destination.proxy.cut()
    const { kinds, outcomes, breaches } = await answering
    expect(new Set(kinds)).toEqual(new Set(['pause']))
    expect(outcomes[0]).toMatchObject({ failure: { code: 'AMQP_CONNECTION_LOST' } })
    destination.proxy.restore()
    expect(new Set((await deliver(patient, batch)).kinds)).toEqual(new Set(['delivered']))
    await patient.close()
    expect(breaches()).toEqual([])
    const ids = (await destination.received()).map((each) => each.id)
    expect(batch.filter((each) => !ids.includes(each.id))).toEqual([])
    expect(ids.length).toBeLessThanOrEqual(2 + 2 * batch.length)
  })

  it('without a sign: a confirm that never comes pauses, and another connection is used', async () => {
    destination.proxy.swallow('toClient')
    const batch = batchOf(5)
    const { kinds, outcomes } = await deliver(adapter, batch)
    expect(new Set(kinds)).toEqual(new Set(['pause']))
    expect(outcomes[0]).toMatchObject({ failure: { code: 'AMQP_CONFIRM_TIMEOUT' } })
    const silent = await deliver(adapter, batch)
    expect(silent.outcomes[0]).toMatchObject({ kind: 'pause', failure: { code: 'AMQP_UNREACHABLE' } })
    destination.proxy.restore()
    expect(new Set((await deliver(adapter, batch)).kinds)).toEqual(new Set(['delivered']))
  })

  it('while a window is full of confirms that will not come: every call is answered', async () => {
    destination.proxy.swallow('toServer')
    const answers = await Promise.all(Array.from({ length: 4 }, () => deliver(adapter, batchOf(500))))
    expect(new Set(answers.flatMap((answer) => answer.kinds))).toEqual(new Set(['pause']))
    destination.proxy.restore()
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  })

  it('close does not wait for a broker that is silent', async () => {
    destination.proxy.swallow()
    const started = performance.now()
    await adapter.close()
    // it waits 2 s for an answer; without an end of its own, for ever
    expect(performance.now() - started).toBeLessThan(20_000)
    destination.proxy.restore() // the proxy hears of the end that it had swallowed
    await waitFor(() => destination.proxy.connections() === 0, { what: 'the end of the socket' })
  })
})

describe('a broker that will not take messages', () => {
  it('pauses while it blocks publishers, and uses the same connection afterwards', async () => {
    const injector = await startAmqpInjector(brokerPort())
    const queue = await createTestQueue()
    const adapter = rabbitAdapter({
      url: `amqp://guest:guest@127.0.0.1:${injector.port}`,
      exchange: '',
      routingKey: queue.name,
    })
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    injector.block('low on memory')
    const blocked = await waitFor(async () => {
      const { outcomes } = await deliver(adapter, batchOf(3))
      return outcomes.every((outcome) => outcome?.kind === 'pause') && outcomes
    })
    expect(blocked[0]).toMatchObject({ failure: { code: 'AMQP_BLOCKED' } })
    expect(blocked[0]).toMatchObject({ failure: { message: expect.stringContaining('low on memory') as string } })
    injector.unblock()
    await waitFor(async () => (await deliver(adapter, [message()])).kinds[0] === 'delivered')
    expect(injector.connections()).toBe(1)
    await adapter.close()
  })

  it('pauses when an operator closes its connection, and connects again', async () => {
    const [name, queue] = [uniqueName('waybill.test.closed'), await createTestQueue()]
    const adapter = rabbitAdapter({ url: amqpUrl(), exchange: '', routingKey: queue.name }, name)
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    await closeConnection(`waybill:${name}`)
    await waitFor(async () => (await deliver(adapter, [message()])).kinds[0] === 'delivered')
    await adapter.close()
  })

  it.each([
    ['a wrong password', (url: URL) => (url.password = 'wrong'), 'misconfigured', 'AMQP_ACCESS_REFUSED'],
    ['an unknown virtual host', (url: URL) => (url.pathname = '/no-such-vhost'), 'misconfigured', 'AMQP_VHOST'],
    ['nobody there', (url: URL) => (url.port = '1'), 'pause', 'AMQP_UNREACHABLE'],
    ['no such host', (url: URL) => (url.hostname = 'no-such-host.invalid'), 'pause', 'AMQP_UNREACHABLE'],
  ])('%s', async (_, change, kind, code) => {
    const url = new URL(amqpUrl())
    change(url)
    const adapter = rabbitAdapter({ url: url.href, exchange: '' })
    const { outcomes } = await deliver(adapter, batchOf(2))
    expect(outcomes).toEqual([0, 1].map(() => expect.objectContaining({ kind }) as unknown))
    expect(outcomes[0]).toMatchObject({ failure: { code } })
    expect(JSON.stringify(outcomes)).not.toContain('wrong')
    await adapter.close()
  })

  it('pauses when the other side accepts and says nothing', async () => {
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onFileEnd(() => server.close())
    const { port } = server.address() as AddressInfo
    const adapter = rabbitAdapter({ url: `amqp://127.0.0.1:${port}`, exchange: '', connectTimeout: 300 })
    const { outcomes } = await deliver(adapter, [message()])
    expect(outcomes[0]).toMatchObject({ kind: 'pause', failure: { code: 'AMQP_UNREACHABLE' } })
    await adapter.close()
  })
})

/** By the management API, which lists a connection some seconds after it was opened. */
async function closeConnection(connectionName: string): Promise<void> {
  const { origin, username, password } = new URL(amqpManagementUrl())
  const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
  const found = await waitFor(
    async () => {
      const response = await fetch(`${origin}/api/connections`, { headers })
      const list = (await response.json()) as { name: string; client_properties?: { connection_name?: string } }[]
      return list.find((each) => each.client_properties?.connection_name === connectionName)
    },
    { intervalMs: 250, what: 'the connection in the management API' },
  )
  const response = await fetch(`${origin}/api/connections/${encodeURIComponent(found.name)}`, {
    method: 'DELETE',
    headers,
  })
  expect(response.status).toBe(204)
}
