import { setTimeout as sleep } from 'node:timers/promises'
import { slope, median, type Point } from './figures.js'

/** Clients publish at a rate for a while, and the lag is looked at. */
export interface Stretch {
  /** Transactions a second that were asked for. */
  readonly rate: number
  /** Transactions a second that were begun. */
  readonly begun: number
  /** Messages a second by which the lag grew. */
  readonly growth: number
  /** Messages, the median over the stretch. */
  readonly lag: number
  /** What gave way; null: the lag stayed flat. */
  readonly gave: 'lag' | 'clients' | null
}

/** Share of the rate by which the lag may grow and still be called flat; over 10 s it moves by a few per cent by itself. */
const flatGrowth = 0.1
/** Seconds of messages that may lie behind the tip. */
const flatLag = 1
/** Share of the transactions that the clients have to begin. */
const begunShare = 0.9

/** Lag is flat when it grows by less than 10 % of the rate (median slope) and is less than a second of messages. */
export function judgeStretch(rate: number, begun: number, lags: readonly Point[]): Stretch {
  const growth = slope(lags)
  const lag = median(lags.map(({ y }) => y))
  const flat = growth < flatGrowth * rate && lag < flatLag * rate
  const gave = !flat ? 'lag' : begun < begunShare * rate ? 'clients' : null
  return { rate, begun, growth, lag, gave }
}

const lowest = 25
const highest = 6400
const bisections = 2

/**
 * The highest rate whose stretch is flat: doubled until one is not, then bisected. One that is not flat is tried once
 * more: cores that are shared with others stall. Rejects when even the lowest is not.
 */
export async function highestFlat(tryRate: (rate: number) => Promise<Stretch>): Promise<number> {
  const isFlat = async (rate: number): Promise<boolean> =>
    (await tryRate(rate)).gave === null || (await tryRate(rate)).gave === null
  let [good, bad] = [0, lowest]
  while (bad <= highest && (await isFlat(bad))) [good, bad] = [bad, bad * 2]
  if (good === 0) throw new Error(`the lag is not flat at ${lowest} transactions a second: is the machine busy?`)
  for (let i = 0; i < bisections && bad <= highest; i++) {
    const middle = Math.round(Math.sqrt(good * bad))
    if (await isFlat(middle)) good = middle
    else bad = middle
  }
  return good
}

export interface StretchSource {
  /** Starts to publish at a rate. */
  begin(rate: number): void
  /** Transactions begun so far. */
  begun(): number
  /** Messages that the lane which is furthest behind has before it. */
  lag(): Promise<number>
  /** Ends publishing, and resolves when everything is delivered. */
  end(): Promise<void>
}

const settleMs = 3000
const lookEveryMs = 500

/** `ms`: how long the lag is looked at, after 3 s to settle. */
export async function stretch(source: StretchSource, rate: number, ms: number, signal: AbortSignal): Promise<Stretch> {
  source.begin(rate)
  try {
    await sleep(settleMs, undefined, { signal })
    const [started, before] = [performance.now(), source.begun()]
    const lags: Point[] = []
    while (performance.now() - started < ms) {
      lags.push({ x: (performance.now() - started) / 1000, y: await source.lag() })
      await sleep(lookEveryMs, undefined, { signal })
    }
    const seconds = (performance.now() - started) / 1000
    return judgeStretch(rate, (source.begun() - before) / seconds, lags)
  } finally {
    await source.end()
  }
}
