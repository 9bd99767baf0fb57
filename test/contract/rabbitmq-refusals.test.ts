import { afterEach, describe, expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/contract.js'
import {
  amqpManagementUrl,
  amqpUrl,
  consumeQueue,
  createTestExchange,
  createTestQueue,
  openChannel,
  queueDepth,
} from '../support/rabbitmq.js'
import { uniqueName } from '../support/services.js'
import { deliver, message } from './destination.js'
import { rabbitAdapter } from './rabbitmq-fixture.js'

const adapters: Adapter[] = []

function adapterFor(options: Omit<Parameters<typeof rabbitAdapter>[0], 'url'> & { url?: string }): Adapter {
  const adapter = rabbitAdapter({ url: amqpUrl(), ...options })
  adapters.push(adapter)
  return adapter
}

afterEach(async () => {
  await Promise.all(adapters.splice(0).map((adapter) => adapter.close()))
})

describe('signing in', () => {
  it.each([
    ['plain', 'plain'],
    ['aüb', 'pä😀ß'],
    ['用户', ':/@#?% +&=[]'],
  ])('as %s with %s, percent-encoded as URLs want it', async (name, password) => {
    const { username, password: admin, host } = new URL(amqpManagementUrl())
    const user = encodeURIComponent(`${uniqueName('user')}-${name}`)
    const manage = async (method: string, path: string, body?: object): Promise<void> => {
      const answer = await fetch(`http://${host}/api/${path}`, {
        method,
        headers: { authorization: `Basic ${btoa(`${username}:${admin}`)}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      })
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`)
    }
    await manage('PUT', `users/${user}`, { password, tags: '' })
    try {
      await manage('PUT', `permissions/%2f/${user}`, { configure: '', write: '.*', read: '' })
      const queue = await createTestQueue()
      const url = `amqp://${user}:${encodeURIComponent(password)}@${new URL(amqpUrl()).host}`
      const { outcomes } = await deliver(adapterFor({ url, exchange: '', routingKey: queue.name }), [message()])
      expect(outcomes).toMatchObject([{ kind: 'delivered' }])
      const wrong = adapterFor({ url: url.replace('@', 'x@'), exchange: '', routingKey: queue.name })
      expect((await deliver(wrong, [message()])).kinds).toEqual(['misconfigured'])
    } finally {
      await manage('DELETE', `users/${user}`)
    }
  })
})

it('a header of any name arrives, also those that are properties of every object', async () => {
  const queue = await createTestQueue()
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'x']
  const headers = JSON.parse(`{${names.map((name) => `"${name}": "value of ${name}"`).join()}}`) as Record<
    string,
    string
  >
  const adapter = adapterFor({ exchange: '', routingKey: queue.name })
  expect((await deliver(adapter, [message({ headers })])).kinds).toEqual(['delivered'])
  // amqplib loses "__proto__" as it reads; the broker's own page does not
  const { username, password, host } = new URL(amqpManagementUrl())
  const answer = await fetch(`http://${host}/api/queues/%2f/${queue.name}/get`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${username}:${password}`)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ count: 1, ackmode: 'ack_requeue_false', encoding: 'auto' }),
  })
  const [got] = (await answer.json()) as { properties: { headers: Record<string, string> } }[]
  for (const name of names) {
    expect(Object.getOwnPropertyDescriptor(got?.properties.headers ?? {}, name)?.value).toBe(`value of ${name}`)
  }
})

describe('messages that RabbitMQ refuses', () => {
  it('retries what a full queue nacks', async () => {
    const queue = await createTestQueue({ maxLength: 1, overflow: 'reject-publish' })
    const adapter = adapterFor({ exchange: '', routingKey: queue.name })
    const kinds: string[] = []
    for (let i = 0; i < 4; i++) kinds.push(...(await deliver(adapter, [message()])).kinds)
    expect(kinds[0]).toBe('delivered')
    expect(kinds.at(-1)).toBe('retry')
    const { outcomes } = await deliver(adapter, [message()])
    expect(outcomes[0]).toMatchObject({ kind: 'retry', failure: { code: 'AMQP_NACK' } })
    await consumeQueue(queue.name, 1)
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  })

  it.each([
    [undefined, 'retry'],
    ['dead', 'dead'],
    ['misconfigured', 'misconfigured'],
  ] as const)('what no queue takes is, with unroutable %s, %s; the rest is delivered', async (unroutable, kind) => {
    const exchange = await createTestExchange('topic')
    const queue = await createTestQueue()
    const channel = await openChannel()
    await channel.bindQueue(queue.name, exchange.name, 'order.#')
    const adapter = adapterFor({ exchange: exchange.name, ...(unroutable && { unroutable }) })
    const topics = ['order.created', 'crm.updated', 'order.shipped', 'crm.deleted']
    const { kinds, outcomes, breaches } = await deliver(
      adapter,
      topics.map((topic) => message({ topic })),
    )
    expect(kinds).toEqual(['delivered', kind, 'delivered', kind])
    expect(outcomes[1]).toMatchObject({ failure: { code: 'AMQP_UNROUTABLE' } })
    expect(outcomes[1]).toMatchObject({ failure: { message: expect.stringContaining('NO_ROUTE') as string } })
    expect(breaches()).toEqual([])
    expect((await consumeQueue(queue.name, 2)).map((each) => each.properties.type as string)).toEqual([
      'order.created',
      'order.shipped',
    ])
  })

  it('asks for the configuration to be mended when the one queue it publishes to is deleted', async () => {
    const queue = await createTestQueue()
    const adapter = adapterFor({ exchange: '', routingKey: queue.name })
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    await queue.delete()
    const { outcomes } = await deliver(adapter, [message(), message()])
    expect(outcomes[1]).toMatchObject({ kind: 'misconfigured', failure: { code: 'AMQP_UNROUTABLE' } })
    const channel = await openChannel()
    await channel.assertQueue(queue.name)
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    await channel.deleteQueue(queue.name)
  })

  it('asks for the configuration to be mended when the exchange is missing, and goes on once it is there', async () => {
    const exchange = uniqueName('waybill.test.missing')
    const adapter = adapterFor({ exchange })
    const { outcomes, kinds } = await deliver(adapter, [message(), message()])
    expect(new Set(kinds)).toEqual(new Set(['misconfigured']))
    expect(outcomes[0]).toMatchObject({ failure: { code: 'AMQP_NOT_FOUND' } })
    const queue = await createTestQueue()
    const channel = await openChannel()
    await channel.assertExchange(exchange, 'fanout')
    await channel.bindQueue(queue.name, exchange, '')
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    await channel.deleteExchange(exchange)
  })

  it('charges nobody when a 404 closes the channel under messages in flight', async () => {
    const exchange = await createTestExchange('fanout')
    const queue = await createTestQueue()
    const channel = await openChannel()
    await channel.bindQueue(queue.name, exchange.name, '')
    // An exchange loses its bindings a moment before it goes: a message in between is returned, and is not charged either.
    const adapter = adapterFor({ exchange: exchange.name, unroutable: 'misconfigured' })
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
    const batches = Array.from({ length: 4 }, () => Array.from({ length: 500 }, () => message()))
    const answering = Promise.all(batches.map((batch) => deliver(adapter, batch)))
    await channel.deleteExchange(exchange.name)
    const answers = await answering
    const after = await deliver(adapter, [message()])
    const kinds = [...answers, after].flatMap((answer) => answer.kinds)
    expect(kinds.filter((kind) => kind === 'retry' || kind === 'dead')).toEqual([])
    expect(kinds).toContain('misconfigured')
    expect(answers.flatMap((answer) => answer.breaches())).toEqual([])
    const ids = answers.flatMap((answer, i) => batches[i]?.filter((_, at) => answer.kinds[at] === 'delivered') ?? [])
    const arrived = await consumeQueue(queue.name, await queueDepth(queue.name))
    const held = new Set(arrived.map((each) => each.properties.messageId as string))
    expect(ids.filter((each) => !held.has(each.id))).toEqual([])
  })

  it('gives up on a body over the limit of the broker, and on no other', async () => {
    const queue = await createTestQueue()
    const adapter = adapterFor({ exchange: '', routingKey: queue.name, confirmTimeout: '60s' })
    // The default limit: 128 MiB up to RabbitMQ 3.13, 16 MiB from 4.0.
    const huge = message({ payload: `"${'x'.repeat(128 * 1024 * 1024)}"` })
    const { outcomes, kinds, breaches } = await deliver(adapter, [message(), huge, message()])
    expect(outcomes[1]).toMatchObject({ kind: 'dead', failure: { code: 'AMQP_TOO_LARGE' } })
    for (const kind of [kinds[0], kinds[2]]) expect(['delivered', 'unsettled']).toContain(kind)
    expect(breaches()).toEqual([])
    expect((await deliver(adapter, [message()])).kinds).toEqual(['delivered'])
  }, 90_000)

  it.each([
    ['a routing key over 255 bytes', { key: 'ü'.repeat(128) }, 'AMQP_ROUTING_KEY_TOO_LONG'],
    ['headers over 64 KiB', { headers: { 'x-large': 'x'.repeat(70_000) } }, 'AMQP_UNENCODABLE'],
    ['a header name over 255 bytes', { headers: { ['x'.repeat(256)]: '1' } }, 'AMQP_UNENCODABLE'],
  ])('gives up on %s, and delivers what is around it', async (_, fields, code) => {
    const queue = await createTestQueue()
    const exchange = await createTestExchange('fanout')
    await (await openChannel()).bindQueue(queue.name, exchange.name, '')
    const adapter = adapterFor({ exchange: exchange.name, routingKey: '{key}' })
    const { kinds, outcomes } = await deliver(adapter, [message(), message(fields), message()])
    expect(kinds).toEqual(['delivered', 'dead', 'delivered'])
    expect(outcomes[1]).toMatchObject({ failure: { code } })
    await consumeQueue(queue.name, 2)
  })
})

describe('what RabbitMQ is told', () => {
  it('persistent JSON with id, type, time and key, routed by the template', async () => {
    const queue = await createTestQueue()
    const exchange = await createTestExchange('topic')
    await (await openChannel()).bindQueue(queue.name, exchange.name, 'crm.order.created.k1')
    const adapter = adapterFor({ exchange: exchange.name, routingKey: 'crm.{topic}.{key}' })
    const sent = message({ key: 'k1', headers: { 'x-tenant': 't', cc: 'lower case is an ordinary header' } })
    const { outcomes } = await deliver(adapter, [sent])
    expect(outcomes[0]).toEqual({
      kind: 'delivered',
      receipt: { exchange: exchange.name, routingKey: 'crm.order.created.k1' },
    })
    const [arrived] = await consumeQueue(queue.name, 1)
    expect(arrived?.fields.routingKey).toBe('crm.order.created.k1')
    expect(arrived?.properties).toMatchObject({
      contentType: 'application/json',
      deliveryMode: 2,
      messageId: sent.id,
      type: 'order.created',
      timestamp: Math.floor(sent.createdAt.getTime() / 1000),
      headers: { key: 'k1', 'x-tenant': 't', cc: 'lower case is an ordinary header' },
    })
  })

  it('declares what the settings say, again and again', async () => {
    const [exchange, dlx, queue, dlq] = ['ex', 'dlx', 'q', 'dlq'].map((name) => uniqueName(`waybill.test.${name}`))
    if (!exchange || !dlx || !queue || !dlq) throw new Error('unreachable')
    const declare = {
      exchanges: [{ name: exchange }, { name: dlx, type: 'fanout' }],
      queues: [
        { name: queue, deadLetterExchange: dlx, maxLength: 10 },
        { name: dlq, type: 'classic' as const },
      ],
      bindings: [
        { exchange, queue, routingKey: 'order.*' },
        { exchange: dlx, queue: dlq },
      ],
    }
    const channel = await openChannel()
    try {
      for (let i = 0; i < 2; i++) {
        expect((await deliver(adapterFor({ exchange, declare }), [message()])).kinds).toEqual(['delivered'])
      }
      await channel.get(queue).then((got) => got && channel.reject(got, false))
      const [letter] = await consumeQueue(dlq, 1)
      expect(letter?.properties.headers?.['x-first-death-queue']).toBe(queue)

      const other = { ...declare, queues: [{ name: queue, deadLetterExchange: dlx, maxLength: 11 }] }
      const { outcomes } = await deliver(adapterFor({ exchange, declare: other }), [message()])
      expect(outcomes[0]).toMatchObject({ kind: 'misconfigured', failure: { code: 'AMQP_PRECONDITION_FAILED' } })
      expect(outcomes[0]).toMatchObject({
        failure: { message: expect.stringContaining("arg 'x-max-length'") as string },
      })
    } finally {
      await Promise.all([queue, dlq].map((name) => channel.deleteQueue(name)))
      await Promise.all([exchange, dlx].map((name) => channel.deleteExchange(name)))
    }
  })
})
