import { type BackoffSettings, backoffDelay } from '../../core/backoff.js'
import type { Clock } from '../../core/clock.js'
import { WaybillError, codeOf, messageOf } from '../../core/errors.js'
import { isConnectionError } from '../../db/sqlstate.js'
import type { LaneFence } from '../../outbox/lane-store.js'
import { writePause } from '../../outbox/lane-store.js'
import type pg from 'pg'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from '../hooks.js'

export interface RestartPaceOptions {
  readonly name: LaneName
  /** As of now: each start after a failure has an epoch of its own. */
  readonly fence: () => Omit<LaneFence, 'nonce'>
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
}

/** Each start sends again what was under way and not stored: a window, at most. */
const backoff: BackoffSettings = { baseMs: 250, capMs: 300_000 }
/** A lane that ran for so long starts again as if for the first time. */
const healthyMs = 60_000
/** Starts in a row at which the lane's row says so. */
const sayAt = 3

/**
 * How soon a lane that ended with an error starts again. A database that is away, failed over or reads only says nothing of
 * the lane: there the next heartbeat is the measure. Anything else may come again at each start.
 */
export class RestartPace {
  readonly #o: RestartPaceOptions
  readonly #stop = new AbortController()
  #startedAt = -Infinity
  #restarts = 0

  constructor(options: RestartPaceOptions) {
    this.#o = options
  }

  started(): void {
    this.#startedAt = this.#o.clock.monotonic()
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Resolves when the lane may start again after `error`; the first time at once. */
  async wait(error: unknown): Promise<void> {
    const { name, clock, logger, hooks } = this.#o
    callHook(logger, name, () => hooks.onLaneRestart?.(name, messageOf(error)))
    if (isNoFault(error)) return
    if (clock.monotonic() - this.#startedAt >= healthyMs) this.#restarts = 0
    const waitMs = this.#restarts === 0 ? 0 : backoffDelay(this.#restarts, backoff)
    this.#restarts++
    if (waitMs === 0) return
    logger.warn({ ...name, restarts: this.#restarts, waitMs }, 'lane waits before it starts again')
    if (this.#restarts >= sayAt) await this.#say(error)
    await clock.sleep(waitMs, this.#stop.signal)
  }

  async #say(error: unknown): Promise<void> {
    const { name, fence, pool, logger, hooks } = this.#o
    const reason = `STARTS_AGAIN: ${this.#restarts} times in a row, each sends again what was not stored; the last: ${codeOf(error) ?? ''} ${messageOf(error)}`
    callHook(logger, name, () => hooks.onPause?.(name, { kind: 'restarting', reason }))
    await writePause(pool, fence(), { kind: 'restarting', reason }).catch((failure: unknown) =>
      logger.warn({ ...name, err: failure }, 'could not write down that the lane starts again and again'),
    )
  }
}

function isNoFault(error: unknown): boolean {
  if (WaybillError.isInstance(error)) return true
  const code = codeOf(error)
  return isConnectionError(error) || (code !== undefined && /^(25006|57P)/.test(code))
}
