import { beforeEach, describe, expect, it } from 'vitest'
import { type TestChild, spawnChild } from '../support/children.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { type HttpReceiver, startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

const leaseMs = 2000
const window = 200

interface Received {
  readonly id: string
  readonly key: string
  readonly version: number
}

describe('two dispatchers share the lanes of a webhook', () => {
  let database: TestDatabase
  let receiver: HttpReceiver
  let published: Map<string, string[]>

  beforeEach(async () => {
    database = await createTestDatabase()
    receiver = await startHttpReceiver({ status: 204 })
    published = new Map()
    return async () => {
      await receiver.close()
      await database.drop()
    }
  })

  const start = async (): Promise<TestChild<unknown>> => {
    const settings = { url: database.url, receiver: receiver.url, leaseMs, shards: 4 }
    const child = spawnChild(new URL('dispatcher-child.ts', import.meta.url).pathname, {
      env: { WAYBILL_CHILD: JSON.stringify(settings) },
    })
    await child.waitForMessage(() => true)
    return child
  }

  // one publisher for each key, so that its messages have an order to keep
  const publishAll = async (keys: number, each: number): Promise<void> => {
    await Promise.all(
      Array.from({ length: keys }, async (_, k) => {
        const key = `key-${k}`
        const ids: string[] = []
        published.set(key, ids)
        for (let version = 1; version <= each; version++) {
          ids.push(await publish(database.pool, 'order.changed', { key, version }, { key }))
        }
      }),
    )
  }

  const received = (): Received[] =>
    receiver.received().map((r) => ({
      id: String(r.headers['webhook-id']),
      ...(JSON.parse(r.body.toString()) as { key: string; version: number }),
    }))

  const check = async (crashes: number): Promise<void> => {
    const all = [...published.values()].flat()
    await waitFor(() => new Set(received().map((r) => r.id)).size === all.length)
    const firsts = new Map<string, number[]>()
    const seen = new Set<string>()
    for (const { id, key, version } of received()) {
      if (seen.has(id)) continue
      seen.add(id)
      firsts.set(key, [...(firsts.get(key) ?? []), version])
    }
    for (const [key, ids] of published)
      expect(firsts.get(key), `first deliveries of ${key}`).toEqual(ids.map((_, i) => i + 1))
    // a crash forgets at most what was sent and not yet committed, in each lane that the process held
    expect(received().length - all.length, 'duplicates').toBeLessThanOrEqual(crashes * window * 4)
  }

  it('loses nothing and keeps order when one is killed in the middle', async () => {
    const [one] = await Promise.all([start(), start()])
    const work = publishAll(40, 30)
    await receiver.waitForCount(300)
    await one.kill('SIGKILL')
    await work
    await check(1)
  })

  it('keeps order when one is frozen past its lease and thawed as a zombie', async () => {
    const [one] = await Promise.all([start(), start()])
    const work = publishAll(40, 30)
    await receiver.waitForCount(200)
    one.signal('SIGSTOP')
    await waitFor(async () => {
      const { rows } = await database.pool.query<{ n: number }>(
        'select count(distinct dispatcher)::int as n from waybill.lanes where holder is not null',
      )
      return rows[0]?.n === 1
    })
    one.signal('SIGCONT')
    await work
    await check(1)
  })
})
