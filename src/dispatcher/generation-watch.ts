import type { Clock } from '../core/clock.js'
import type { Deployed } from '../outbox/configuration-store.js'
import type { Beat } from '../outbox/dispatcher-store.js'
import type { DispatcherLogger } from './hooks.js'

export interface GenerationWatchOptions {
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly redeploy: (() => Promise<Deployed>) | undefined
  /** Whether our own configuration is what is deployed as this generation; undefined: it is taken for granted. */
  readonly isOurs: ((generation: number) => Promise<boolean>) | undefined
  /** For how long no dispatcher of the deployed configuration may be alive, ms. */
  readonly patienceMs: number
  readonly isAlive: (dispatcher: string) => boolean
}

/**
 * What a dispatcher does while another generation than its own is deployed. Where that is its own configuration, which
 * another dispatcher has deployed again (a deployment that was taken back), it is of that generation from then on. Else it
 * delivers nothing, as it would pass over what only the deployed one wants. But a deployment that failed must not stop
 * delivery for good: when no dispatcher of the deployed configuration has been alive for `patienceMs`, the newest that is
 * left deploys its own again, behind a barrier.
 */
export class GenerationWatch {
  readonly #o: GenerationWatchOptions
  #outranked: number | undefined
  #aloneSince: number | undefined
  #told = false
  /** Incarnation and generation for which ours was found deployed. */
  #found = ''

  constructor(options: GenerationWatchOptions) {
    this.#o = options
  }

  /**
   * Whether a heartbeat saw our configuration deployed. A number alone does not say so on a server that lost our deployment: there
   * another configuration may have been given it, and what that wants was passed over by us. Asked once for each incarnation.
   */
  async isConfirmed({ generation, nonce }: Beat, mine: number): Promise<boolean> {
    const found = `${nonce} ${generation}`
    if (generation !== mine || this.#found === found) return true
    if (this.#o.isOurs && !(await this.#o.isOurs(generation))) {
      this.#o.logger.warn(
        { generation },
        'the database has lost the deployment of this configuration, and another one was given its generation',
      )
      return false
    }
    this.#found = found
    return true
  }

  /** Call after each heartbeat that saw another generation deployed. Resolves to a new generation of our own, if it got one. */
  async follow(seen: Beat, mine: number): Promise<number | undefined> {
    const { logger, redeploy, isOurs } = this.#o
    // once for each that is deployed
    if (seen.generation > mine && this.#outranked !== seen.generation && (await isOurs?.(seen.generation)) === true) {
      logger.info(
        { deployed: seen.generation, mine },
        'another dispatcher has deployed the configuration of this one again',
      )
      return this.#follows(seen.generation)
    }
    if (seen.generation > mine && !this.#isAbandoned(seen, mine)) return undefined
    if (!redeploy) return undefined
    const { generation, stale } = await redeploy()
    if (stale) {
      if (!this.#told) {
        logger.error(
          { deployed: seen.generation, mine },
          'no dispatcher of the deployed configuration is alive, and this one was given an older generation: nothing is delivered until one starts, or this configuration gets a greater generation',
        )
      }
      this.#told = true
      return undefined
    }
    logger.warn(
      { deployed: seen.generation, generation },
      seen.generation > mine
        ? 'no dispatcher of the deployed configuration is alive: the configuration of this one is deployed in its place'
        : 'the database has lost the deployment of this configuration: it is deployed again',
    )
    return this.#follows(generation)
  }

  #follows(generation: number): number {
    this.#outranked = undefined
    this.#aloneSince = undefined
    this.#told = false
    return generation
  }

  #isAbandoned({ generation: deployed, dispatchers }: Beat, mine: number): boolean {
    const { clock, logger, isAlive, patienceMs } = this.#o
    if (this.#outranked !== deployed) {
      logger.info(
        { deployed, mine },
        'a newer configuration is deployed: lanes are left to the dispatchers that have it',
      )
      this.#outranked = deployed
      this.#aloneSince = undefined
    }
    const now = clock.monotonic()
    if (dispatchers.some(({ id, generation }) => generation > mine && isAlive(id))) this.#aloneSince = undefined
    else this.#aloneSince ??= now
    return this.#aloneSince !== undefined && now - this.#aloneSince >= patienceMs
  }
}
