import { codeOf } from './errors.js'
import { unlessItThrows } from './unless-it-throws.js'
import { version } from './version.js'

/**
 * OpenTelemetry as an application has set it up, through the global of @opentelemetry/api. Only its shape is relied on, so
 * importing Waybill loads no OpenTelemetry: the global's key and the span's key are registered symbols, stable over all
 * 1.x versions of @opentelemetry/api. Where nothing is set up, nothing is done.
 *
 * What is behind it (samplers, span processors, context managers) is the application's code: where it throws, the span is
 * missing or incomplete, and nothing else is touched.
 */
const apiKey = Symbol.for('opentelemetry.js.api.1')
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')

interface TraceState {
  serialize(): string
}

interface SpanContext {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
  readonly traceState?: TraceState | undefined
  readonly isRemote?: boolean
}

/** The part of a span that Waybill uses. */
export interface Span {
  spanContext(): SpanContext
  setAttribute(name: string, value: string | number): unknown
  setStatus(status: { readonly code: number }): unknown
  end(): void
}

interface Context {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): Context
}

interface SpanOptions {
  readonly kind: number
  readonly attributes: Readonly<Record<string, string | number>>
}

interface OpenTelemetryApi {
  readonly context?: {
    active(): Context | undefined
    with<T>(context: Context, work: () => T): T
  }
  /** There once a tracer provider has been registered. */
  readonly trace?: {
    getTracer(name: string, version: string): { startSpan(name: string, options: SpanOptions, context: Context): Span }
  }
}

/** `SpanKind` and `SpanStatusCode` of the API. */
const kinds = { client: 2, producer: 3, consumer: 4 }
const statusError = 2

const api = (): OpenTelemetryApi | undefined => (globalThis as { [apiKey]?: OpenTelemetryApi })[apiKey]

/** Headers of W3C Trace Context, level 1. */
export interface TraceHeaders {
  readonly traceparent: string
  readonly tracestate?: string | undefined
}

/** Those of the span that is active. Undefined when none is, or none with a valid context. */
export function activeTraceHeaders(): TraceHeaders | undefined {
  return unlessItThrows(readActiveHeaders)
}

function readActiveHeaders(): TraceHeaders | undefined {
  const span = api()?.context?.active()?.getValue(spanKey) as Partial<Span> | undefined
  const context = span?.spanContext?.()
  if (!context || !isId(context.traceId, 32) || !isId(context.spanId, 16)) return undefined
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, '0')
  const traceparent = `00-${context.traceId}-${context.spanId}-${flags}`
  const tracestate: unknown = unlessItThrows(() => context.traceState?.serialize())
  return isTraceState(tracestate) ? { traceparent, tracestate } : { traceparent }
}

/** As a header can carry it; what else an application's own class gives is left out. */
function isTraceState(text: unknown): text is string {
  return typeof text === 'string' && /^[\x20-\x7e]{1,1024}$/.test(text)
}

/** All zeros is the invalid id. */
function isId(id: unknown, length: number): boolean {
  return typeof id === 'string' && id.length === length && /^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(id)
}

/** Whether spans are recorded at all: to save what is needed only for them. */
export function isTracing(): boolean {
  return unlessItThrows(() => api()?.trace !== undefined) ?? false
}

export interface NewSpan {
  readonly name: string
  readonly kind: keyof typeof kinds
  readonly attributes: Readonly<Record<string, string | number>>
  /** What another process handed on; default: the span that is active here. */
  readonly parent?: TraceHeaders
}

/** Starts a span. Undefined where the application has set no tracing up. */
export function startSpan(span: NewSpan): Span | undefined {
  return unlessItThrows(() => openSpan(span))
}

function openSpan({ name, kind, attributes, parent }: NewSpan): Span | undefined {
  const { context, trace } = api() ?? {}
  const active = context?.active()
  if (!trace || !active) return undefined
  const remote = parent && parseTraceHeaders(parent)
  const from = remote ? active.setValue(spanKey, new RemoteSpan(remote)) : active
  return trace.getTracer('waybill', version).startSpan(name, { kind: kinds[kind], attributes }, from)
}

/** Runs `work` while the span is active. */
export function whileActive<T>(span: Span, work: () => T): T {
  let begun = false
  const once = (): T => {
    begun = true
    return work()
  }
  try {
    const { context } = api() ?? {}
    const active = context?.active()
    if (context && active) return context.with(active.setValue(spanKey, span), once)
  } catch (error) {
    if (begun) throw error
  }
  return work()
}

/** Runs `work` while the span is active, and ends it with what became of it. Errors leave their code, and no text. */
export async function inSpan<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await whileActive(span, work)
  } catch (error) {
    failSpan(span, codeOf(error) ?? '_OTHER')
    throw error
  } finally {
    endSpan(span)
  }
}

/** `code`: of the error, for `error.type`. */
export function failSpan(span: Span, code: string): void {
  setSpanAttribute(span, 'error.type', code)
  unlessItThrows(() => span.setStatus({ code: statusError }))
}

export function setSpanAttribute(span: Span, name: string, value: string | number): void {
  unlessItThrows(() => span.setAttribute(name, value))
}

export function endSpan(span: Span): void {
  unlessItThrows(() => span.end())
}

const traceparentSyntax = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-|$)/

function parseTraceHeaders({ traceparent, tracestate }: TraceHeaders): SpanContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = traceparentSyntax.exec(traceparent) ?? []
  if (!isId(traceId, 32) || !isId(spanId, 16)) return undefined
  return {
    ...{ traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true },
    ...(tracestate && { traceState: new RemoteState(tracestate) }),
  }
}

/** A span of another process: a context, and nothing to record. */
class RemoteSpan implements Span {
  readonly #context: SpanContext

  constructor(context: SpanContext) {
    this.#context = context
  }

  spanContext(): SpanContext {
    return this.#context
  }

  isRecording(): boolean {
    return false
  }

  setAttribute(): this {
    return this
  }

  setStatus(): this {
    return this
  }

  end(): void {
    // it is ended elsewhere
  }
}

/** `tracestate` as it came: list members are never changed here, only handed on and looked up (by samplers). */
class RemoteState implements TraceState {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  get(key: string): string | undefined {
    const member = this.#text.split(',').find((each) => each.trim().startsWith(`${key}=`))
    return member?.trim().slice(key.length + 1)
  }

  set(key: string, value: string): RemoteState {
    const rest = this.unset(key).serialize()
    return new RemoteState(rest === '' ? `${key}=${value}` : `${key}=${value},${rest}`)
  }

  unset(key: string): RemoteState {
    const rest = this.#text.split(',').filter((each) => !each.trim().startsWith(`${key}=`))
    return new RemoteState(rest.join(','))
  }

  serialize(): string {
    return this.#text
  }
}
