import type { DeliveryOptions } from './destinations/delivery.js'
import type { SecretInput } from './destinations/secret.js'
import type { DurationInput } from './fields.js'

/** A destination as `webhook`, `rabbitmq`, `kafka` or `jobs` gives it, or as a JSON file writes it. */
export interface DestinationConfig<Kind extends string = string, Options extends object = object> {
  /** The kind of adapter. */
  readonly kind: Kind
  /** The adapter's own options and the delivery options, in one flat object. */
  readonly options?: (Options & DeliveryOptions) | undefined
}

export interface DatabaseConfig {
  /** PostgreSQL connection URL, through a pooler if there is one. Default: the variable `WAYBILL_DATABASE_URL`. */
  readonly url?: SecretInput | undefined
  /** URL past the pooler, for the connection that listens. Default: `WAYBILL_DIRECT_URL`, else `url`. */
  readonly directUrl?: SecretInput | undefined
  /** Connections of one process, 1–500. Default 10. */
  readonly poolSize?: number | undefined
}

export interface DispatcherConfig {
  /** Name in heartbeats and logs. Default: host name and process id. */
  readonly name?: string | undefined
  /** Length of a lane's lease, milliseconds, 1,000–60,000. After a crash lanes stand still about this long. Default 15,000. */
  readonly leaseMs?: number | undefined
  /** Messages read from the log at once, 1–10,000. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Let publishers wake a sleeping dispatcher through LISTEN/NOTIFY; polling goes on either way. Default true. */
  readonly listen?: boolean | undefined
  /** How long a stop waits for deliveries under way before it aborts them, milliseconds, 0–600,000. Default 30,000. */
  readonly drainMs?: number | undefined
  /** Take part in making and dropping partitions and clearing expired rows. Default true. */
  readonly maintenance?: boolean | undefined
  /** When a message counts as safe to send: flushed here, or also by the stand-by of this name. Default `local`. */
  readonly durability?: 'local' | { readonly replicated: string } | undefined
}

/** What `defineConfig` takes. Every key is optional; `Names` are the destinations' names. */
export interface WaybillConfig<Names extends string = string> {
  readonly database?: DatabaseConfig | undefined
  /** Raise it with each change of destinations or routes to make a dispatcher with an older file refuse to start. */
  readonly generation?: number | undefined
  /** Where messages go, by name: 1 to 63 of `a-z 0-9 _ -`, a letter first. */
  readonly destinations?: Readonly<Partial<Record<Names, DestinationConfig>>> | undefined
  /** Which topics go where: `{ 'order.*': ['crm', 'audit'] }`. `*` is one word, a last `**` one or more. */
  readonly routes?: Readonly<Record<string, NoInfer<Names> | readonly NoInfer<Names>[]>> | undefined
  readonly dispatcher?: DispatcherConfig | undefined
  /** How long delivered messages stay, 1 h – 3,650 d. Default 7 d. */
  readonly retention?: DurationInput | undefined
  /** How long undelivered messages may be kept beyond retention, 1 h – 3,650 d. Default: as long as they are undelivered. */
  readonly maxHold?: DurationInput | undefined
  readonly publish?:
    | {
        /** Bytes of JSON text of one payload, at most, 1–67,108,864. Default 1,048,576. */
        readonly maxPayloadBytes?: number | undefined
      }
    | undefined
  readonly log?: { readonly level?: LogLevel | undefined } | undefined
}

/** How much is logged. `silent` logs nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]
