import { afterEach, describe, expect, it } from 'vitest'
import { checkOptions } from '../../src/queue-facade/message-options.js'
import { activeTraceHeaders } from '../../src/core/open-telemetry.js'

// The shape that @opentelemetry/api 1.x registers: a context manager whose active context answers for the span's key.
const apiKey = Symbol.for('opentelemetry.js.api.1')
const registry = globalThis as { [apiKey]?: unknown }
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')

function activate(spanContext: unknown): void {
  const span = { spanContext: () => spanContext }
  registry[apiKey] = {
    version: '1.9.0',
    context: { active: () => ({ getValue: (key: symbol) => (key === spanKey ? span : undefined) }) },
  }
}
const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const headersOf = (headers?: Record<string, string>): unknown => {
  const { headers: text } = checkOptions({ headers }, [], [])
  return text === null ? null : JSON.parse(text)
}

describe('trace context', () => {
  afterEach(() => void delete registry[apiKey])

  it('goes along where a span is active', () => {
    activate({ traceId, spanId, traceFlags: 1, traceState: { serialize: () => 'vendor=1' } })
    const traceparent = `00-${traceId}-${spanId}-01`
    expect(headersOf()).toEqual({ traceparent, tracestate: 'vendor=1' })
    expect(headersOf({ 'X-Tenant': 'acme' })).toEqual({ 'x-tenant': 'acme', traceparent, tracestate: 'vendor=1' })
  })

  it('gives way to the headers of the caller', () => {
    activate({ traceId, spanId, traceFlags: 1, traceState: { serialize: () => 'vendor=1' } })
    expect(headersOf({ Traceparent: 'mine' })).toEqual({ traceparent: 'mine' })
  })

  it('without a state has no tracestate', () => {
    activate({ traceId, spanId, traceFlags: 0 })
    expect(headersOf()).toEqual({ traceparent: `00-${traceId}-${spanId}-00` })
  })

  it.each([
    ['no API', undefined],
    ['an API without a context manager', { version: '1.9.0' }],
    ['a context without a span', { context: { active: () => ({ getValue: () => undefined }) } }],
  ])('is left out where there is %s', (_name, api) => {
    if (api !== undefined) registry[apiKey] = api
    expect(activeTraceHeaders()).toBeUndefined()
    expect(headersOf()).toBeNull()
  })

  it('is left out where the span is not valid', () => {
    activate({ traceId: '0'.repeat(32), spanId, traceFlags: 1 })
    expect(activeTraceHeaders()).toBeUndefined()
    activate({ traceId, spanId: 'x', traceFlags: 1 })
    expect(activeTraceHeaders()).toBeUndefined()
  })
})
