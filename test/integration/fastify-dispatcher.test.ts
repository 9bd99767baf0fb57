import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { defineConfig, webhook } from '../../src/config/index.js'
import { waybillFastify, type InProcessDispatcher } from '../../src/fastify/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { startHttpReceiver, type HttpReceiver } from '../support/http-receiver.js'
import { sessionsEnd } from '../support/sessions.js'
import { gate, topics } from './fastify-fixture.js'

const apps: FastifyInstance[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

interface Stage {
  readonly app: FastifyInstance
  readonly database: TestDatabase
  readonly receiver: HttpReceiver
  /** What the application logged so far. */
  readonly lines: () => Record<string, unknown>[]
}

/** An application with a dispatcher that sends everything to a receiver, with a database of its own. */
async function stage(more: Omit<InProcessDispatcher, 'config'> = {}, empty = false): Promise<Stage> {
  const database = await createTestDatabase({ empty })
  const receiver = await startHttpReceiver()
  const log = new PassThrough()
  let text = ''
  log.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const app = Fastify({ logger: { stream: log, base: { app: 'shop' } } })
  apps.push(app)
  const config = defineConfig({
    database: { url: database.url },
    // longer than a test may take: what ends sooner was told to
    dispatcher: { drainMs: 600_000 },
    destinations: {
      crm: webhook({ url: receiver.url, secrets: ['s'], allowNetworks: ['127.0.0.0/8'], timeoutMs: 600_000 }),
    },
    routes: { '**': 'crm' },
  })
  await app.register(waybillFastify, { topics, pool: database.pool, dispatcher: { config, ...more } })
  const lines = () =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { app, database, receiver, lines }
}

const publish = (app: FastifyInstance, id: string) =>
  app.waybill.publish('order.created', { id, cents: 1 }, { tx: null, key: id })

async function undelivered({ database }: Stage): Promise<number | null> {
  return (await database.pool.query('select from waybill.undelivered')).rowCount
}

describe('a dispatcher in the process of the application', () => {
  it('delivers from ready on, and says so in the log of the application', async () => {
    const on = await stage()
    await publish(on.app, 'o1')
    expect(on.app.waybillDispatcher?.id).toBeUndefined()
    expect((await on.database.pool.query('select from waybill.destinations')).rowCount).toBe(0)

    await on.app.ready()
    const [request] = await on.receiver.waitForCount(1)
    expect(JSON.parse(request?.body.toString() ?? '')).toEqual({ id: 'o1', cents: 1 })
    expect(on.app.waybillDispatcher?.healthy).toBe(true)
    const line = on.lines().find(({ msg }) => msg === 'destination added')
    expect(line).toMatchObject({ app: 'shop', service: 'waybill', destination: 'crm' })
  })

  it('waits in close for what is under way, and leaves no session behind', async () => {
    const on = await stage()
    const [answer, stopping] = [gate(), gate()]
    on.receiver.respondWith(() => answer.opened.then(() => ({})))
    // the hook that was added last is called first
    on.app.addHook('onClose', async () => stopping.open())
    await on.app.ready()
    await publish(on.app, 'o1')
    await on.receiver.waitForCount(1)

    let closed = false
    const closing = on.app.close().then(() => (closed = true))
    await stopping.opened
    // time enough for one that does not wait
    for (let i = 0; i < 20; i++) await on.database.pool.query('select')
    expect(closed).toBe(false)
    answer.open()
    await closing
    expect(on.receiver.received()).toHaveLength(1)
    expect(await undelivered(on)).toBe(0)
    await sessionsEnd(on.database)
  })

  it('gives up on a destination that does not answer after drainMs, and the message stays', async () => {
    const on = await stage({ drainMs: 0 })
    on.receiver.respondWith('hang')
    await on.app.ready()
    await publish(on.app, 'o1')
    await on.receiver.waitForCount(1)
    await on.app.close()
    expect(await undelivered(on)).toBe(1)
    await sessionsEnd(on.database)
  })

  it('keeps an application from becoming ready where it cannot start', async () => {
    const on = await stage({}, true)
    await expect(on.app.ready()).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_MISSING' })
    await on.app.close()
    await sessionsEnd(on.database)
  })
})
