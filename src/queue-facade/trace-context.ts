/**
 * The W3C trace context of the span that is active, read from the global OpenTelemetry API where an application has
 * registered one. Only its shape is relied on, so importing Waybill loads no OpenTelemetry: the global's key and the
 * span's key are registered symbols, stable over all 1.x versions of @opentelemetry/api.
 */
const apiKey = Symbol.for('opentelemetry.js.api.1')
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')

interface SpanContext {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
  readonly traceState?: { serialize(): string } | undefined
}

interface OpenTelemetryApi {
  readonly context?: { active(): { getValue(key: symbol): { spanContext?(): SpanContext } | undefined } | undefined }
}

/** Headers of W3C Trace Context, level 1. */
export interface TraceHeaders {
  readonly traceparent: string
  readonly tracestate?: string
}

/** Undefined when no span is active, or none with a valid context. */
export function activeTraceHeaders(): TraceHeaders | undefined {
  const api = (globalThis as { [apiKey]?: OpenTelemetryApi })[apiKey]
  const span = api?.context?.active()?.getValue(spanKey)
  const context = span?.spanContext?.()
  if (!context || !isId(context.traceId, 32) || !isId(context.spanId, 16)) return undefined
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, '0')
  const traceparent = `00-${context.traceId}-${context.spanId}-${flags}`
  const tracestate = context.traceState?.serialize()
  return tracestate ? { traceparent, tracestate } : { traceparent }
}

/** All zeros is the invalid id. */
function isId(id: unknown, length: number): boolean {
  return typeof id === 'string' && id.length === length && /^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(id)
}
