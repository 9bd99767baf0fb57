/** A look that takes longer than this, ms, is one among busy cores. */
const quickLookMs = 0.45
/** Looks at a moving log are not farther apart for it, ms. */
const busiestMs = 40
/** Looks whose median tells how busy the cores are: one that took long says nothing. */
const remembered = 5

/**
 * How long to wait between looks at a moving log. A tick, a page and the commit of a position cost as much for five messages
 * as for a hundred, and where cores are busy their publishers need them more than messages need to leave a few ms earlier:
 * so the wait grows by the square of how much longer looks take than they do on a machine that has time
 * (docs/decisions/2026-11-29-looks-wait-where-cores-are-busy.md).
 */
export class LookPace {
  readonly #leastMs: number
  readonly #took: number[] = []

  constructor(leastMs: number) {
    this.#leastMs = leastMs
  }

  /** The wait after a look that took so long, ms. */
  waitAfter(tookMs: number): number {
    this.#took.push(tookMs)
    if (this.#took.length > remembered) this.#took.shift()
    const median = this.#took.toSorted((a, b) => a - b)[this.#took.length >> 1] as number
    return Math.max(this.#leastMs, Math.min(this.#leastMs * (median / quickLookMs) ** 2, busiestMs))
  }
}
