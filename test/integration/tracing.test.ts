import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { createDispatcher } from '../../src/app/index.js'
import { jobs, webhook } from '../../src/config/index.js'
import type { Job } from '../../src/jobs/index.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { useDatabase } from '../support/database.js'
import { ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'
import { startWorker } from './jobs-fixture.js'

const database = useDatabase()
const exporter = new InMemorySpanExporter()

// OpenTelemetry's own SDK: what an application registers
beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
})
afterAll(() => {
  trace.disable()
  context.disable()
})
beforeEach(() => exporter.reset())

const spans = (name: string): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => span.name === name)

const parentOf = (span: ReadableSpan | undefined): string | undefined => span?.parentSpanContext?.spanId

it('a trace leads from the request that published to each destination, and to what the receiver gets', async () => {
  const { pool, url } = database()
  const crm = await startHttpReceiver()
  const queue = new Queue({ pool })
  const dispatcher = createDispatcher(
    {
      database: { url },
      destinations: { crm: webhook({ url: crm.url, allowNetworks: ['127.0.0.0/8'] }), work: jobs({ queue: 'q' }) },
      routes: { 'order.*': ['crm', 'work'] },
    },
    { logger: silentLogger },
  )
  await dispatcher.start()
  try {
    const request = trace.getTracer('app').startSpan('POST /orders')
    const id = await context.with(trace.setSpan(context.active(), request), () =>
      queue.publish('order.created', { n: 1 }, { tx: null, key: 'k' }),
    )
    request.end()
    await waitFor(() => spans('deliver crm').length > 0 && spans('deliver work').length > 0)
    const [publish] = spans('send order.created')
    expect(publish).toMatchObject({
      kind: SpanKind.PRODUCER,
      status: { code: SpanStatusCode.UNSET },
      attributes: {
        'messaging.system': 'waybill',
        'messaging.operation.name': 'publish',
        'messaging.operation.type': 'send',
        'messaging.destination.name': 'order.created',
        'messaging.message.id': id,
      },
    })
    expect(parentOf(publish)).toBe(request.spanContext().spanId)
    for (const [destination, kind] of [
      ['crm', 'webhook'],
      ['work', 'jobs'],
    ] as const) {
      const delivered = spans(`deliver ${destination}`)
      expect(delivered).toHaveLength(1)
      expect(delivered[0]).toMatchObject({
        kind: SpanKind.CLIENT,
        status: { code: SpanStatusCode.UNSET },
        attributes: {
          'messaging.message.id': id,
          'messaging.destination.name': 'order.created',
          'waybill.destination': destination,
          'waybill.destination.kind': kind,
          'waybill.attempt': 1,
          'waybill.outcome': 'delivered',
        },
      })
      expect(parentOf(delivered[0])).toBe(publish?.spanContext().spanId)
      expect(delivered[0]?.spanContext().traceId).toBe(request.spanContext().traceId)
    }
    const { traceId, spanId } = (publish as ReadableSpan).spanContext()
    expect(crm.received()[0]?.headers['traceparent']).toBe(`00-${traceId}-${spanId}-01`)
  } finally {
    await dispatcher.stop()
  }
})

it('a job runs in a span of the trace that published its message, which is active for what its handler does', async () => {
  const { pool, url } = database()
  const queue = new Queue({ pool })
  const dispatcher = createDispatcher(
    { database: { url }, destinations: { work: jobs({ queue: 'traced' }) }, routes: { 'job.*': ['work'] } },
    { logger: silentLogger },
  )
  await dispatcher.start()
  const inner: (string | undefined)[] = []
  const run = ({ attempt }: Job): void => {
    inner.push(trace.getActiveSpan()?.spanContext().spanId)
    if (attempt === 1) throw Object.assign(new Error('a text that is nobody’s business'), { code: 'NO_LUCK' })
  }
  await startWorker(database(), 'traced', { 'job.*': { run, backoff: { baseMs: 1, capMs: 1 } } })
  try {
    const id = await queue.publish('job.traced', {}, { tx: null })
    await waitFor(() => spans('process job.traced').length >= 2)
    const [publish] = spans('send job.traced')
    const [failed, complete] = spans('process job.traced')
    expect(failed).toMatchObject({
      kind: SpanKind.CONSUMER,
      status: { code: SpanStatusCode.ERROR },
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.message.id': id,
        'waybill.queue': 'traced',
        'waybill.attempt': 1,
        'waybill.outcome': 'retry',
        'error.type': 'NO_LUCK',
      },
    })
    expect(JSON.stringify([failed?.attributes, failed?.status, failed?.events])).not.toContain('business')
    expect(complete).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      attributes: { 'waybill.attempt': 2, 'waybill.outcome': 'complete' },
    })
    for (const span of [failed, complete]) expect(parentOf(span)).toBe(publish?.spanContext().spanId)
    expect(inner).toEqual([failed, complete].map((span) => span?.spanContext().spanId))
  } finally {
    await dispatcher.stop()
  }
})

it('a delivery that fails, and one that is never answered, say so', async () => {
  const adapter = new ScriptedAdapter()
  adapter.answer = ({ attempt }, { signal }) =>
    attempt === 1
      ? { kind: 'retry', failure: { code: 'HTTP_500', message: 'a text that is nobody’s business' } }
      : new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)))
  const queue = new Queue({ pool: database().pool })
  const dispatcher = await startDispatcher({
    pool: database().pool,
    destinations: { slow: { adapter, patterns: ['slow.*'] } },
    generation: 3,
  })
  await queue.publish('slow.one', {}, { tx: null })
  await waitFor(() => adapter.attempts.length >= 2)
  await dispatcher.stop({ drainMs: 0 })
  const [failed, unanswered] = spans('deliver slow')
  expect(failed).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { 'error.type': 'HTTP_500', 'waybill.outcome': 'retry', 'waybill.attempt': 1 },
  })
  expect(JSON.stringify(failed?.status)).not.toContain('business')
  expect(unanswered?.attributes).toMatchObject({ 'waybill.outcome': 'unanswered', 'waybill.attempt': 2 })
})

it('a list is one span, which all of its messages carry; what is refused leaves the code of its error', async () => {
  const queue = new Queue({ pool: database().pool })
  await queue.publishMany(
    [
      { topic: 'a.b', payload: 1 },
      { topic: 'a.b', payload: 2 },
    ],
    { tx: null },
  )
  const [list] = spans('send a.b')
  expect(list?.attributes).toMatchObject({ 'messaging.batch.message_count': 2 })
  const { rows } = await database().pool.query<{ traceparent: string }>(
    `select distinct headers->>'traceparent' as traceparent from waybill.messages where topic = 'a.b'`,
  )
  expect(rows.map(({ traceparent }) => traceparent.split('-')[2])).toEqual([list?.spanContext().spanId])
  await expect(queue.publish('not a topic', {}, { tx: null })).rejects.toMatchObject({
    code: 'WAYBILL_PUBLISH_INVALID',
  })
  expect(spans('send not a topic')).toMatchObject([
    { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'WAYBILL_PUBLISH_INVALID' } },
  ])
})

it('what was published without a trace is delivered without a span', async () => {
  const adapter = new ScriptedAdapter()
  const dispatcher = await startDispatcher({
    pool: database().pool,
    destinations: { plain: { adapter, patterns: ['plain.*'] } },
    generation: 4,
  })
  await database().pool.query(
    `select waybill.publish('plain.sql', '{}'), waybill.publish('plain.sql', '{}', headers => '{"traceparent": "nonsense"}')`,
  )
  await waitFor(() => adapter.delivered.length === 2)
  await dispatcher.stop()
  // one with a traceparent that is none begins a trace of its own
  expect(spans('deliver plain').map(parentOf)).toEqual([undefined])
})
