import { describe, expect, it } from 'vitest'
import type { DispatcherHooks } from '../../src/dispatcher/hooks.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import {
  count,
  dead,
  delivered,
  down,
  memoryLogger,
  parkedStates,
  retry,
  useDispatching,
} from './dispatching-fixture.js'

interface Heard {
  readonly hook: string
  readonly args: readonly unknown[]
}

/** Every hook, each of which tells and then does what `then` does. */
function listeningHooks(then: () => void = () => undefined): DispatcherHooks & { readonly heard: Heard[] } {
  const heard: Heard[] = []
  const tell =
    (hook: string) =>
    (...args: unknown[]): unknown => {
      heard.push({ hook, args })
      return then()
    }
  return {
    heard,
    onDelivered: tell('delivered'),
    onRetry: tell('retry'),
    onDead: tell('dead'),
    onPause: tell('pause'),
    onResume: tell('resume'),
    onLaneAcquired: tell('acquired'),
    onLaneLost: tell('lost'),
  }
}

const take = `update waybill.lanes set epoch = epoch + 1, holder = gen_random_uuid(), dispatcher = gen_random_uuid()`

describe('hooks', () => {
  const { pool, start } = useDispatching()

  /** Delivers, retries, gives up, pauses, goes on, and loses its lane. */
  const everything = async (
    hooks: DispatcherHooks,
    logger = memoryLogger(),
  ): Promise<{ adapter: ScriptedAdapter; ids: Record<string, string> }> => {
    const adapter = new ScriptedAdapter()
    const ids = {
      once: await publish(pool(), 'order.created', {}, { key: 'once' }),
      never: await publish(pool(), 'order.created', {}, { key: 'never' }),
    }
    let failed = false
    adapter.answer = ({ id }) => {
      if (id === ids.never) return dead
      if (id !== ids.once || failed) return delivered
      failed = true
      return retry
    }
    await start({ destinations: { crm: { adapter } }, hooks, logger, leaseMs: 1000 })
    await waitFor(async () => adapter.delivered.length >= 1 && (await parkedStates(pool())).join() === 'dead')
    let isDown = true
    adapter.answer = () => (isDown ? down : delivered)
    const later = await publish(pool(), 'order.created', {}, { key: 'later' })
    await waitFor(() => adapter.attempts.filter(({ id }) => id === later).length >= 2)
    isDown = false
    await waitFor(() => adapter.ids().includes(later))
    await waitFor(async () => (await count(pool(), 'lanes', `state = 'active'`)) === 1)
    await pool().query(take)
    return { adapter, ids }
  }

  it('tell of deliveries, retries, dead messages, pauses and lanes', async () => {
    const hooks = listeningHooks()
    const { ids } = await everything(hooks)
    await waitFor(() => hooks.heard.some(({ hook }) => hook === 'lost'))
    const of = (name: string): (readonly unknown[])[] =>
      hooks.heard.filter(({ hook }) => hook === name).map((h) => h.args)
    const lane = { laneId: expect.any(Number) as number, destination: 'crm', shard: 0 }
    const named = (id: string | undefined, key: string) => ({ id, topic: 'order.created', key, attempt: 1 })
    expect(of('acquired')[0]).toEqual([lane])
    expect(of('retry')).toEqual([[lane, named(ids['once'], 'once'), { code: 'HTTP_500', message: 'no' }]])
    expect(of('dead')).toEqual([[lane, named(ids['never'], 'never'), { code: 'HTTP_422', message: 'never' }]])
    const reason = expect.stringMatching(
      /^HTTP_502: bad gateway; 1 message has failed so far .*: [0-9a-f-]{36}$/,
    ) as string
    expect(of('pause')).toEqual([[lane, { kind: 'outage', reason }]])
    expect(of('resume')).toEqual([[lane]])
    expect(of('lost')[0]).toEqual([lane, expect.stringContaining('another dispatcher')])
    expect(
      of('delivered')
        .map(([, n]) => n as number)
        .reduce((a, b) => a + b, 0),
    ).toBe(2)
  })

  it.each([
    [
      'throw',
      () => {
        throw new Error('a hook of the application')
      },
    ],
    ['reject', () => Promise.reject(new Error('a hook of the application')) as unknown as void],
  ])('that %s change nothing: what happens is the same, and they are logged', async (_, then) => {
    const hooks = listeningHooks(then)
    const logger = memoryLogger()
    await everything(hooks, logger)
    await waitFor(() => hooks.heard.some(({ hook }) => hook === 'lost'))
    expect(new Set(hooks.heard.map(({ hook }) => hook)).size).toBe(7)
    const told = logger.lines.filter(({ message }) => message === 'a hook threw')
    expect(told.length).toBe(hooks.heard.length)
    expect(told[0]).toMatchObject({ level: 'error', fields: { destination: 'crm', err: 'a hook of the application' } })
  })

  it('count deliveries that only a retry brought about as they happen', async () => {
    const hooks = listeningHooks()
    const adapter = new ScriptedAdapter()
    await publish(pool(), 'order.created', {})
    let failures = 0
    adapter.answer = () => (failures++ < 1 ? retry : delivered)
    await start({ destinations: { crm: { adapter } }, hooks })
    await waitFor(() => hooks.heard.some(({ hook }) => hook === 'delivered'))
    expect(hooks.heard.filter(({ hook }) => hook === 'delivered').map(({ args }) => args[1])).toEqual([1])
  })
})
