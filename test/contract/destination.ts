import type { Adapter, OutboundMessage, Outcome, SqlExecutor } from '../../src/adapters/contract.js'

/** A message as the destination holds it. */
export interface Received {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: Buffer
  /** Every header of the message there, by the name it has there: the application's and the system's. */
  readonly headers: Readonly<Record<string, string>>
}

/** A real destination, fresh for each test. */
export interface TestDestination {
  /** A new adapter for this destination. Its own time-outs should be about 1–3 s, so that a silent destination is noticed. */
  makeAdapter(): Adapter
  /** All that has arrived and is kept there, in order of arrival (within a key at least). Called when deliveries are settled. */
  received(): Promise<readonly Received[]>
  cleanup(): Promise<void> | void
}

/** One behind a network, and the ways to break that. */
export interface ConnectedDestination extends TestDestination {
  /** From now on nobody is there: connections are refused or reset, those that are open included. */
  breakDestination(): Promise<void> | void
  healDestination(): Promise<void> | void
  /** From now on it accepts and never answers, until `healDestination`. */
  stallDestination(): Promise<void> | void
  /** Connections to it that are open now. */
  connections(): number
}

/** One that is written to in the cursor's own transaction: its network is the database's. */
export interface TransactionalDestination extends TestDestination {
  /** Runs `work` in a database transaction. */
  transaction<Result>(work: (tx: SqlExecutor) => Promise<Result>): Promise<Result>
}

export interface ConformanceOptions {
  /** Topics the destination takes messages for; at least one. */
  readonly topics: readonly [string, ...string[]]
  /**
   * Header names of the system's own at this destination, lower case: an application header of such a name must not
   * arrive. Default: none.
   */
  readonly systemHeaders?: readonly string[]
  /** Bytes of the largest payload that the destination is asked to take. Default 1 MiB. */
  readonly largestPayload?: number
}

let last = 0

/** A message with a fresh id; `fields` says what matters to the test. */
export function message(fields: Partial<OutboundMessage> = {}): OutboundMessage {
  last += 1
  const id = `0190f000-0000-7${String(process.pid % 1000).padStart(3, '0')}-8000-${String(last).padStart(12, '0')}`
  const payload = JSON.stringify({ number: last })
  return { id, topic: 'order.created', key: null, payload, headers: {}, createdAt: new Date(), attempt: 1, ...fields }
}

/** Messages of growing size, so that where one ends in a packet is another place each time. */
export function growingMessages(count: number): OutboundMessage[] {
  return Array.from({ length: count }, (_, i) => message({ payload: JSON.stringify({ i, fill: 'x'.repeat(i) }) }))
}

/** What must be the same of a message that was sent and one that arrived. */
export function idsAndPayloads(
  messages: readonly Pick<OutboundMessage | Received, 'id' | 'payload'>[],
): [id: string, payload: string][] {
  return messages.map(({ id, payload }) => [id, String(payload)])
}

/** What a `deliver` call said, and whether it kept the contract while saying it. */
export interface Answer {
  /** By index of the batch; undefined where nothing was settled. */
  readonly outcomes: readonly (Outcome | undefined)[]
  readonly kinds: readonly (Outcome['kind'] | 'unsettled')[]
  /** Breaches of the contract: settled twice, settled late, an index that is none. Checked again at any later time. */
  readonly breaches: () => readonly string[]
}

/** Calls `deliver`, and keeps watching what it settles after it has resolved. */
export async function deliver(
  adapter: Adapter,
  batch: readonly OutboundMessage[],
  signal: AbortSignal = new AbortController().signal,
): Promise<Answer> {
  const outcomes: (Outcome | undefined)[] = batch.map(() => undefined)
  const breaches: string[] = []
  let resolved = false
  try {
    await adapter.deliver(batch, {
      signal,
      settle(index, outcome) {
        if (resolved) breaches.push(`settled ${index} as ${outcome.kind} after deliver had ended`)
        else if (!(index in batch)) breaches.push(`settled ${index}, which is not in a batch of ${batch.length}`)
        else if (outcomes[index]) breaches.push(`settled ${index} again as ${outcome.kind}`)
        else outcomes[index] = outcome
      },
    })
  } finally {
    resolved = true
  }
  return { outcomes, kinds: outcomes.map((outcome) => outcome?.kind ?? 'unsettled'), breaches: () => breaches }
}

/**
 * The batches in which a lane would hand these messages over: as large as the adapter takes and, where the adapter keeps
 * no order itself, with one message of a key at most.
 */
export function asHandedOver(adapter: Adapter, messages: readonly OutboundMessage[]): OutboundMessage[][] {
  const { ordered, maxBatch } = adapter.capabilities
  const batches: OutboundMessage[][] = []
  let rest = [...messages]
  while (rest.length > 0) {
    const keys = new Set<string>()
    const batch: OutboundMessage[] = []
    const later: OutboundMessage[] = []
    for (const each of rest) {
      const held = !ordered && each.key !== null && keys.has(each.key)
      if (held || batch.length >= maxBatch) later.push(each)
      else batch.push(each)
      if (each.key !== null) keys.add(each.key)
    }
    batches.push(batch)
    rest = later
  }
  return batches
}
