import type { BackoffSettings } from './backoff.js'

/** How a destination's lanes deliver, apart from what the adapter itself needs. All of it has defaults in the configuration. */
export interface DeliverySettings {
  /** Lanes of this destination; a key belongs to lane `hash(key) % shards`. Default 1. */
  readonly shards: number
  /** `key`: a message that failed holds later ones of its key back. `none`: no order. Default `key`. */
  readonly order: 'key' | 'none'
  /** `hold`: a dead message holds its key until it is retried or dropped. `release`: its key goes on. Default `hold`. */
  readonly onDead: 'hold' | 'release'
  /** Attempts before a delivery is dead. Default 20. */
  readonly maxAttempts: number
  /** Wait between attempts of one delivery. Default 1 s doubling to 1 h. */
  readonly backoff: BackoffSettings
  /** Wait between probes of a destination that is down. Default 1 s doubling to 30 s. */
  readonly probe: BackoffSettings
  /** Messages read but not settled, at most. Bounds duplicates after a crash, and memory. Default 2,000. */
  readonly window: number
  /** A message that holds the window's end for longer is written down as in flight and passed. Milliseconds, default 10,000. */
  readonly slowAfterMs: number
  /** Parked deliveries of a lane at which it pauses. Default 10,000. */
  readonly maxParked: number
  /** Keep a receipt for each delivery. Default: what the adapter's kind says (webhooks: yes). */
  readonly receipts: boolean
  /** Where a new destination starts. Default: `earliest` in the first configuration a database sees, `latest` after. */
  readonly from: 'earliest' | 'latest' | Date | undefined
}
