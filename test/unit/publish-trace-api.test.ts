import { context, trace, TraceFlags } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'

const database = useDatabase()

// the real API: `publish` finds it by the symbol under which it registers itself
beforeAll(() => context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()))
afterAll(() => context.disable())

it('takes the active span of the OpenTelemetry API along', async () => {
  const queue = new Queue({ pool: database().pool })
  const span = trace.wrapSpanContext({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: TraceFlags.SAMPLED,
  })
  const traced = await context.with(trace.setSpan(context.active(), span), () =>
    queue.publish('order.created', {}, { tx: null }),
  )
  const plain = await queue.publish('order.created', {}, { tx: null })
  const { rows } = await database().pool.query<{ id: string; headers: unknown }>(
    'select id, headers from waybill.messages order by seq',
  )
  expect(rows).toEqual([
    { id: traced, headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' } },
    { id: plain, headers: null },
  ])
})
