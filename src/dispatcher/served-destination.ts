import type { Adapter } from '../adapters/contract.js'
import type { DeliverySettings } from '../core/delivery-settings.js'

/** A destination as this dispatcher can serve it. */
export interface ServedDestination {
  readonly name: string
  readonly adapter: Adapter
  readonly settings: DeliverySettings
  readonly patterns: readonly string[]
}
