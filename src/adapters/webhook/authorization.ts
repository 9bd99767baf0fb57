import type { WebhookSettings } from '../../config/destinations/webhook.js'
import type { Outcome } from '../contract.js'

/** Where requests get their `authorization` header from. */
export interface Authorization {
  /** The header's value; a promise while a token is being fetched, which rejects with `AuthorizationError`. */
  header(): string | undefined | Promise<string>
  /** The endpoint answered 401 to this value. True when a new one is worth a try. */
  rejected(header: string | undefined): boolean
  /** Every text that must not show in an error. */
  secrets(): readonly string[]
  /** Stops what is under way. */
  close(): void
}

export type AuthorizationFailure = Extract<Outcome, { kind: 'pause' | 'misconfigured' | 'retry' | 'dead' }>

/** No token: what became of the messages that need one. */
export class AuthorizationError extends Error {
  readonly outcome: AuthorizationFailure

  constructor(outcome: AuthorizationFailure) {
    super(outcome.failure.message)
    this.name = 'AuthorizationError'
    this.outcome = outcome
  }
}

type FixedAuth = Exclude<WebhookSettings['auth'], { type: 'oauth2' }>

/** None, basic or bearer: a value that never changes. */
export function fixedAuthorization(auth: FixedAuth): Authorization {
  const value = fixedValue(auth)
  return {
    header: () => value?.header,
    rejected: () => false,
    secrets: () => value?.secrets ?? [],
    close: () => undefined,
  }
}

function fixedValue(auth: FixedAuth): { header: string; secrets: string[] } | undefined {
  switch (auth.type) {
    case 'none':
      return undefined
    case 'bearer':
      return { header: `Bearer ${auth.token.reveal()}`, secrets: [auth.token.reveal()] }
    case 'basic': {
      const encoded = Buffer.from(`${auth.username}:${auth.password.reveal()}`).toString('base64')
      return { header: `Basic ${encoded}`, secrets: [encoded, auth.password.reveal()] }
    }
  }
}
