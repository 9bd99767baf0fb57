/** Looks that tell how busy the cores are. */
const remembered = 64
/** Fewer tell nothing. */
const fewest = 10
/** Slow looks (one in ten is slower) by quick ones (one in ten is quicker): up to here while cores have time. */
const quietScatter = 1.9
/** Looks at a moving log are not farther apart for it, ms. */
const busiestMs = 40

/**
 * How long to wait between looks at a moving log. A tick, a page and the commit of a position cost as much for five messages
 * as for a hundred, and where cores are busy their publishers need them more than messages need to leave a few ms earlier.
 * Who has to wait for a core waits now and then, so there the durations of looks scatter. How long they are says little:
 * that is the network's doing too, and on cores that were idle just before a look takes longer
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
    if (this.#took.length < fewest) return this.#leastMs
    const sorted = this.#took.toSorted((a, b) => a - b)
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] as number
    const excess = at(0.9) / at(0.1) / quietScatter
    // a third more than the quiet scatter, and looks are as far apart as they get
    return excess > 1 ? Math.min(this.#leastMs * excess ** 8, busiestMs) : this.#leastMs
  }
}
