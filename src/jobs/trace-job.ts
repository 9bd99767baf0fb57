import { type Span, endSpan, failSpan, isTracing, setSpanAttribute, startSpan } from '../core/open-telemetry.js'
import type { Acknowledgement } from './job-store.js'
import type { Job } from './types.js'

/**
 * The span of one run of a job: a child of the span that published its message, or of none. Undefined where nothing is
 * traced. Names of attributes: OpenTelemetry's semantic conventions for messaging, and waybill.* for what they lack.
 */
export function jobSpan(job: Job): Span | undefined {
  if (!isTracing()) return undefined
  const { traceparent, tracestate } = job.headers
  return startSpan({
    name: `process ${job.name}`,
    kind: 'consumer',
    ...(traceparent !== undefined && { parent: { traceparent, tracestate } }),
    attributes: {
      'messaging.system': 'waybill',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': job.name,
      'messaging.message.id': job.messageId,
      'waybill.queue': job.queue,
      'waybill.job.id': job.id,
      'waybill.attempt': job.attempt,
    },
  })
}

/** Ends it with what is acknowledged. An error leaves its code, and no text. */
export function endJobSpan(span: Span, { outcome, error }: Pick<Acknowledgement, 'outcome' | 'error'>): void {
  setSpanAttribute(span, 'waybill.outcome', outcome)
  if (outcome === 'retry') failSpan(span, error?.code ?? '_OTHER')
  endSpan(span)
}
