import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { waybillFastify, type WaybillFastifyOptions } from '../../src/fastify/index.js'
import { type InputError, Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { sessionsEnd } from '../support/sessions.js'
import { withClient } from '../support/with-client.js'
import { waitFor } from '../support/wait-for.js'
import { gate, topics } from './fastify-fixture.js'
import { inTransaction, logged } from './publish-fixture.js'

const database = useDatabase()
const apps: FastifyInstance[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

function fastify(): FastifyInstance {
  const app = Fastify()
  apps.push(app)
  return app
}

const order = { id: 'o1', cents: 450 }
const own = () => ({ topics, connectionString: database().url })

describe('app.waybill', () => {
  it('publishes in the transaction of a handler: what is rolled back never was', async () => {
    const app = fastify()
    await app.register(waybillFastify, { topics })
    app.post<{ Querystring: { fails?: string } }>('/orders', (request) =>
      withClient(database().url, (client) =>
        inTransaction(client, async () => {
          const id = await app.waybill.publish('order.created', order, { tx: client, key: 'o1' })
          if (request.query.fails) throw new RangeError('no')
          return { id }
        }),
      ),
    )
    expect((await app.inject({ method: 'POST', url: '/orders?fails=1' })).statusCode).toBe(500)
    const { id } = (await app.inject({ method: 'POST', url: '/orders' })).json<{ id: string }>()
    expect(await logged(database(), 'order.created')).toMatchObject([{ id, key: 'o1', payload: JSON.stringify(order) }])
  })

  it('checks topics and payloads as the queue does', async () => {
    const app = fastify()
    await app.register(waybillFastify, own())
    const wrong = app.waybill.publish('order.created', { id: 'o1', cents: 0.5 }, { tx: null })
    await expect(wrong).rejects.toMatchObject({ code: 'WAYBILL_PAYLOAD_INVALID' })
  })

  it('is there in the scope that registers it and in all within, under a name that plugins can depend on', async () => {
    const app = fastify()
    await app.register(waybillFastify, { topics })
    let inner: unknown
    const dependent = Object.assign(async (scope: FastifyInstance) => void (inner = scope.waybill), {
      [Symbol.for('plugin-meta')]: { dependencies: ['waybill'] },
    })
    await app.register(dependent)
    expect(inner).toBe(app.waybill)
    expect(app.hasPlugin('waybill')).toBe(true)
    // what Fastify compares with its own version
    expect(waybillFastify).toMatchObject({ [Symbol.for('plugin-meta')]: { name: 'waybill', fastify: '>=5' } })
    await expect(fastify().register(dependent)).rejects.toMatchObject({
      code: 'FST_ERR_PLUGIN_DEPENDENCY_NOT_REGISTERED',
    })
  })

  it('may be another one in another scope', async () => {
    const app = fastify()
    const queues = [new Queue({ topics }), new Queue({ topics })]
    const seen: unknown[] = []
    for (const queue of queues) {
      await app.register(async (scope) => {
        await scope.register(waybillFastify, { queue })
        seen.push(scope.waybill)
      })
    }
    expect(seen).toEqual(queues)
    expect(seen[0]).not.toBe(seen[1])
    expect(app.hasDecorator('waybill')).toBe(false)
  })

  it('takes its options from what was registered before', async () => {
    const app = fastify()
    await app.register(
      Object.assign(async (scope: FastifyInstance) => void scope.decorate('shop', { pool: database().pool }), {
        [Symbol.for('skip-override')]: true,
      }),
    )
    await app.register(waybillFastify, (parent) => ({
      topics,
      pool: parent.getDecorator<{ pool: never }>('shop').pool,
    }))
    const id = await app.waybill.publish('order.created', { id: 'of the pool', cents: 1 }, { tx: null })
    expect((await logged(database(), 'order.created')).map((row) => row.id)).toContain(id)
  })

  it('has no dispatcher unless one is asked for', async () => {
    const app = fastify()
    await app.register(waybillFastify, { topics, dispatcher: undefined })
    await app.ready()
    expect(app.waybillDispatcher).toBeUndefined()
  })
})

describe('closing', () => {
  it('lets requests that are under way publish, and then ends the queue that was made', async () => {
    const app = fastify()
    await app.register(waybillFastify, own())
    const { opened, open } = gate()
    let entered = false
    app.post('/orders', async () => {
      entered = true
      await opened
      return { id: await app.waybill.publish('order.created', { id: 'last', cents: 1 }, { tx: null }) }
    })
    let closing = false
    app.addHook('preClose', async () => void (closing = true))
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    // kept alive, the connection would keep the server from closing for a minute
    const answer = fetch(`${url}/orders`, { method: 'POST', headers: { connection: 'close' } })
    await waitFor(() => entered, { what: 'the request' })

    const closed = app.close()
    await waitFor(() => closing, { what: 'Fastify to close' })
    open()
    const { id } = (await (await answer).json()) as { id: string }
    await closed
    expect((await logged(database(), 'order.created')).at(-1)).toMatchObject({ id })
    const late = app.waybill.publish('order.created', order, { tx: null })
    await expect(late).rejects.toMatchObject({ code: 'WAYBILL_QUEUE_CLOSED' })
    await sessionsEnd(database(), 'publisher (waybill)')
  })

  it('leaves a queue alone that was given', async () => {
    await using queue = new Queue(own())
    const app = fastify()
    await app.register(waybillFastify, { queue })
    expect(app.waybill).toBe(queue)
    await app.close()
    expect(await queue.publish('order.created', order, { tx: null })).toEqual(expect.any(String))
  })
})

describe('registering', () => {
  const queue = new Queue({ topics })
  const withDispatcher = (dispatcher: unknown) => ({ topics, dispatcher })
  it.each<[path: string, message: string, options: unknown]>([
    ['queue', 'is a string of 6 characters; give new Queue({ topics })', { queue: 'orders' }],
    ['queue', 'is null; give', { queue: null }],
    ['topics', 'excludes queue', { queue, topics }],
    ['pool', 'excludes queue', { queue, pool: {} }],
    ['dispatcher', 'is a boolean without a config; give { config', withDispatcher(true)],
    ['dispatcher', 'a Promise (is an await missing?)', withDispatcher(Promise.resolve())],
    ['dispatcher', 'is an object without a config', withDispatcher({ database: {} })],
    ['dispatcher.config', 'a Promise (is an await', withDispatcher({ config: Promise.resolve() })],
    ['dispatcher.config', 'is null; give { config', withDispatcher({ config: null })],
    ['dispatcher.drain', 'is not an option', withDispatcher({ config: {}, drain: 1 })],
    ['dispatcher.drainMs', 'is a string of 2 characters', withDispatcher({ config: {}, drainMs: '5s' })],
    ['dispatcher.drainMs', 'is -1; give milliseconds', withDispatcher({ config: {}, drainMs: -1 })],
    ['database.url', '', withDispatcher({ config: { routes: { '**': 'nowhere' } } })],
  ])('%# names the field %s and says "%s"', async (path, message, options) => {
    const error: unknown = await Promise.resolve(
      fastify().register(waybillFastify, options as WaybillFastifyOptions),
    ).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'WAYBILL_CONFIG_INVALID' })
    expect((error as InputError).problems).toContainEqual({
      path,
      message: expect.stringContaining(message) as string,
    })
  })

  it('leaves the options of the queue to the queue, and those of register to Fastify', async () => {
    const app = fastify()
    const options = { topics, logLevel: 'info', prefix: '/v1' } as const
    await app.register(waybillFastify, options)
    await expect(
      fastify().register(waybillFastify, { ...options, conectionString: '' } as never),
    ).rejects.toMatchObject({
      code: 'WAYBILL_PUBLISH_INVALID',
      problems: [{ path: 'conectionString', message: 'is not an option of Queue' }],
    })
  })

  it('twice says so, also in a scope within', async () => {
    const app = fastify()
    await app.register(waybillFastify, { topics })
    const again = app.register(async (scope) => void (await scope.register(waybillFastify, { topics })))
    await expect(again).rejects.toMatchObject({
      code: 'WAYBILL_CONFIG_INVALID',
      message: expect.stringContaining('registered here already, as app.waybill') as string,
    })
  })
})
