import type { DeliveryFailure } from '../adapters/contract.js'
import { callListener } from '../core/call-listener.js'
import { messageOf } from '../core/errors.js'
import type { PauseKind } from './pause/culprit-search.js'

export interface LaneName {
  readonly laneId: number
  readonly destination: string
  readonly shard: number
}

export interface MessageName {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly attempt: number
}

/**
 * Why a lane stands still. `standby`: it waits until the stand-by that `durability` names has what is to be sent. `hidden`:
 * row-level security hides rows from the dispatcher, so nothing is read. `refused`: the database does not take what it is to
 * write. `restarting`: it ended again and again, and waits before it starts once more.
 */
export type LanePauseKind = PauseKind | 'refused' | 'restarting' | 'parked_limit' | 'standby' | 'hidden'

/**
 * What an application may listen to. Hooks are called after the fact and not waited for; what they throw, or reject with,
 * is logged and changes nothing.
 */
export interface DispatcherHooks {
  onDelivered?(lane: LaneName, count: number): void
  /** A delivery failed and was parked, or failed again. */
  onRetry?(lane: LaneName, message: MessageName, failure: DeliveryFailure): void
  onDead?(lane: LaneName, message: MessageName, failure: DeliveryFailure): void
  onPause?(lane: LaneName, pause: { readonly kind: LanePauseKind; readonly reason: string }): void
  onResume?(lane: LaneName): void
  onLaneAcquired?(lane: LaneName): void
  /** It ended with an error, and starts again from what is stored. */
  onLaneRestart?(lane: LaneName, reason: string): void
  onLaneLost?(lane: LaneName, reason: string): void
}

/** The least of a pino logger that the dispatcher uses. */
export interface DispatcherLogger {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
}

/** Calls an application's hook. Never throws; `logger` must not either (`guardLogger`). */
export function callHook(logger: DispatcherLogger, lane: LaneName, hook: () => unknown): void {
  callListener(hook, (error) => logger.error({ ...lane, err: messageOf(error) }, 'a hook threw'))
}
