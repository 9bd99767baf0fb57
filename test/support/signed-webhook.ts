import { signedPrefix } from '../../src/core/webhook-keys.js'
import { createSigner } from '../../src/adapters/webhook/signature.js'
import { Secret } from '../../src/config/destinations/secret.js'

export const secondsNow = (): number => Math.floor(Date.now() / 1000)

export interface SignedWebhook {
  readonly headers: {
    readonly 'webhook-id': string
    readonly 'webhook-timestamp': string
    readonly 'webhook-signature': string
  }
  readonly rawBody: Buffer
}

/** Headers and body of a webhook, signed by the code that the webhook adapter signs with. */
export function signedWebhook(
  secrets: string | readonly string[],
  {
    id = 'msg_1',
    timestamp = secondsNow(),
    body = '{"n":1}',
  }: { id?: string; timestamp?: number; body?: string | Uint8Array } = {},
): SignedWebhook {
  const sign = createSigner([secrets].flat().map((secret) => new Secret(secret)))
  if (!sign) throw new Error('no secret to sign with')
  const rawBody = Buffer.from(body)
  return {
    headers: {
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign(signedPrefix(id, timestamp), rawBody),
    },
    rawBody,
  }
}
