import { z } from 'zod'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import { duration, type DurationInput, flag, oneOf, wholeNumber } from '../fields.js'

/** A wait that doubles from `base` up to `cap`, drawn with full jitter. */
export interface BackoffOptions {
  /** Ceiling of the first wait. Default 1 s. */
  readonly base?: DurationInput | undefined
  /** Ceiling of every wait. */
  readonly cap?: DurationInput | undefined
}

/** A time with its zone as text: `2026-01-31T00:00:00Z`. */
export type Timestamp = `${number}-${number}-${number}T${string}`

/** How a destination delivers: options that every kind of destination takes beside its own. */
export interface DeliveryOptions {
  /** Lanes of this destination, 1–256. A key belongs to one of them; more lanes let more dispatchers share it. Default 1. */
  readonly shards?: number | undefined
  /** `key`: messages with equal keys arrive in publish order, and one that failed holds later ones back. Default `key`. */
  readonly order?: 'key' | 'none' | undefined
  /** `hold`: a dead message holds its key until someone retries or drops it. `release`: the key goes on. Default `hold`. */
  readonly onDead?: 'hold' | 'release' | undefined
  /** Attempts before a delivery is dead, 1–1,000. Default 20. */
  readonly maxAttempts?: number | undefined
  /** Wait between attempts of one delivery. Default 1 s doubling to 1 h. */
  readonly backoff?: BackoffOptions | undefined
  /** Wait between probes of a destination that is down. Default 1 s doubling to 30 s. */
  readonly probe?: BackoffOptions | undefined
  /** Messages read but not settled, 1–100,000: bounds duplicates after a crash, and memory. Default 2,000. */
  readonly window?: number | undefined
  /** A message that holds the window's end for longer is set aside as in flight. 10 ms – 1 h, default 10 s. */
  readonly slowAfter?: DurationInput | undefined
  /** Parked deliveries of a lane at which it pauses, 1–1,000,000. Default 10,000. */
  readonly maxParked?: number | undefined
  /** Keep a receipt for each delivery. Default: yes for webhooks, no for the other kinds. */
  readonly receipts?: boolean | undefined
  /** Where a new destination starts in the log. Default: `earliest` in a database's first configuration, `latest` after. */
  readonly from?: 'earliest' | 'latest' | Date | Timestamp | undefined
}

/** `DeliverySettings` before the kind's own default for receipts is known. */
export type ResolvedDelivery = Omit<DeliverySettings, 'receipts'> & {
  /** Undefined: what the adapter's kind says. */
  readonly receipts: boolean | undefined
}

function backoff(defaults: { base: DurationInput; cap: DurationInput }) {
  return z
    .strictObject({
      base: duration(1, '1d').prefault(defaults.base),
      cap: duration(1, '7d').prefault(defaults.cap),
    })
    .refine(({ base, cap }) => base <= cap, { path: ['cap'], error: 'must not be less than base' })
    .transform(({ base, cap }) => ({ baseMs: base, capMs: cap }))
    .prefault({})
}

const fromHelp = 'must be "earliest", "latest", a Date or a time with its zone, such as "2026-01-31T00:00:00Z"'

const from = z
  .union(
    [z.enum(['earliest', 'latest']), z.date(), z.iso.datetime({ offset: true }).transform((iso) => new Date(iso))],
    { error: fromHelp },
  )
  .optional()

const fields = z.strictObject({
  shards: wholeNumber(1, 256).default(1),
  order: oneOf(['key', 'none']).default('key'),
  onDead: oneOf(['hold', 'release']).default('hold'),
  maxAttempts: wholeNumber(1, 1000).default(20),
  backoff: backoff({ base: '1s', cap: '1h' }),
  probe: backoff({ base: '1s', cap: '30s' }),
  window: wholeNumber(1, 100_000).default(2000),
  slowAfter: duration('10ms', '1h').prefault('10s'),
  maxParked: wholeNumber(1, 1_000_000).default(10_000),
  receipts: flag.optional(),
  from,
})

/** The names of the delivery options; what else a destination's options hold belongs to its adapter. */
export const deliveryKeys: readonly string[] = Object.keys(fields.shape)

/** Delivery options with every default filled in. */
export const deliverySettings = fields.transform(({ slowAfter, receipts, from: start, ...rest }): ResolvedDelivery => ({
  ...rest,
  slowAfterMs: slowAfter,
  receipts,
  from: start,
}))
