import type { Adapter, Outcome, OutboundMessage } from '../../src/adapters/contract.js'
import { webhookAdapter } from '../../src/adapters/webhook/index.js'
import { type WebhookOptions, webhookSettings } from '../../src/config/destinations/webhook.js'
import { v7 as uuid } from 'uuid'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const open: Adapter[] = []

/** An adapter from settings as a configuration writes them; loopback is allow-listed. `closeAdapters` ends it. */
export function createWebhook(options: WebhookOptions): Adapter {
  const settings = webhookSettings.parse({ allowNetworks: ['127.0.0.0/8'], ...options })
  const adapter = webhookAdapter.create(settings, { destination: 'partner', logger: silent })
  open.push(adapter)
  return adapter
}

export async function closeAdapters(): Promise<void> {
  await Promise.all(open.splice(0).map((adapter) => adapter.close()))
}

export function outbound(overrides: Partial<OutboundMessage> = {}): OutboundMessage {
  return {
    id: uuid(),
    topic: 'order.created',
    key: 'customer-1',
    payload: '{"n":1}',
    headers: {},
    createdAt: new Date(),
    attempt: 1,
    ...overrides,
  }
}

/** Delivers one message; undefined when it was left unsettled. A second outcome for it throws. */
export async function deliverOne(
  adapter: Adapter,
  message: OutboundMessage = outbound(),
  signal: AbortSignal = new AbortController().signal,
): Promise<Outcome | undefined> {
  let outcome: Outcome | undefined
  await adapter.deliver([message], {
    signal,
    settle(index, settled) {
      if (index !== 0 || outcome)
        throw new Error(`message ${index} was settled ${outcome ? 'twice' : 'without being there'}`)
      outcome = settled
    },
  })
  return outcome
}

/** Kind and code in one line: `pause HTTP_503`. */
export function brief(outcome: Outcome | undefined): string {
  if (!outcome) return 'unsettled'
  return outcome.kind === 'delivered' ? 'delivered' : `${outcome.kind} ${outcome.failure.code}`
}

/** The failure's text; throws for a delivered or unsettled message. */
export function failureText(outcome: Outcome | undefined): string {
  if (!outcome || outcome.kind === 'delivered') throw new Error(`no failure: ${brief(outcome)}`)
  return outcome.failure.message
}
