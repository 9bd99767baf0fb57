import type { Outcome } from '../adapters/contract.js'
import { type Span, endSpan, failSpan, isTracing, setSpanAttribute, startSpan } from '../core/open-telemetry.js'
import type { Entry } from './lane/window.js'

/** The spans of a batch under way. */
export interface DeliveryTrace {
  settled(entry: Entry, outcome: Outcome): void
  /** No answer will come for the others. */
  end(): void
}

/**
 * A span for each message that was published in one: its child, so that a trace leads from the request that published to
 * the destinations. Undefined where nothing is traced.
 */
export function traceDeliveries(destination: string, kind: string, batch: readonly Entry[]): DeliveryTrace | undefined {
  if (!isTracing()) return undefined
  const spans = new Map<Entry, Span>()
  for (const entry of batch) {
    const span = deliverySpan(destination, kind, entry)
    if (span) spans.set(entry, span)
  }
  if (spans.size === 0) return undefined
  const end = (entry: Entry, span: Span, outcome: string): void => {
    spans.delete(entry)
    setSpanAttribute(span, 'waybill.outcome', outcome)
    endSpan(span)
  }
  return {
    settled(entry, outcome) {
      const span = spans.get(entry)
      if (!span) return
      if (outcome.kind !== 'delivered') failSpan(span, outcome.failure.code)
      end(entry, span, outcome.kind)
    },
    end() {
      for (const [entry, span] of spans) end(entry, span, 'unanswered')
    },
  }
}

// Names of attributes: OpenTelemetry's semantic conventions for messaging, and waybill.* for what they lack
function deliverySpan(destination: string, kind: string, { message }: Entry): Span | undefined {
  const { traceparent, tracestate } = message.headers
  if (traceparent === undefined) return undefined
  return startSpan({
    name: `deliver ${destination}`,
    kind: 'client',
    parent: { traceparent, tracestate },
    attributes: {
      'messaging.system': 'waybill',
      'messaging.operation.name': 'deliver',
      'messaging.operation.type': 'send',
      'messaging.destination.name': message.topic,
      'messaging.message.id': message.id,
      'waybill.destination': destination,
      'waybill.destination.kind': kind,
      'waybill.attempt': message.attempt,
    },
  })
}
