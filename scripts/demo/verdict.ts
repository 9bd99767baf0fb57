/** What the demo's claim rests on: arrivals compared with what was committed, with nothing of Waybill in between. */

/** A message that the orders API says it has committed. */
export interface Committed {
  readonly id: string
  readonly topic: string
  /** The order it is about. */
  readonly key: string
  /** The how many-th message about this order it is. */
  readonly version: number
}

/** A message as a receiver got it. */
export interface Arrival {
  readonly id: string
  readonly key: string
  readonly version: number
}

export interface Verdict {
  readonly published: number
  /** Different messages that arrived, phantoms left out. */
  readonly delivered: number
  /** Committed, and never arrived. */
  readonly lost: number
  /** Arrived, and never committed. */
  readonly phantoms: number
  /** Arrived again. */
  readonly duplicates: number
  /** Arrived for the first time after a later message of the same key. Undefined where no order is promised. */
  readonly outOfOrder: number | undefined
}

/** Compares what was committed for a destination with its arrivals, in the order in which they came. */
export function judge(
  expected: Iterable<Pick<Committed, 'id'>>,
  arrivals: Iterable<Arrival>,
  { ordered = true }: { readonly ordered?: boolean } = {},
): Verdict {
  const wanted = new Set<string>()
  for (const { id } of expected) wanted.add(id)
  const seen = new Set<string>()
  const strangers = new Set<string>()
  const latest = new Map<string, number>()
  let duplicates = 0
  let outOfOrder = 0
  for (const { id, key, version } of arrivals) {
    if (seen.has(id) || strangers.has(id)) {
      duplicates++
    } else if (!wanted.has(id)) {
      strangers.add(id)
    } else {
      seen.add(id)
      const before = latest.get(key) ?? 0
      if (version < before) outOfOrder++
      latest.set(key, Math.max(before, version))
    }
  }
  return {
    published: wanted.size,
    delivered: seen.size,
    lost: wanted.size - seen.size,
    phantoms: strangers.size,
    duplicates,
    outOfOrder: ordered ? outOfOrder : undefined,
  }
}

/** Duplicates are within the promise; everything else is not. */
export function isKept({ lost, phantoms, outOfOrder = 0 }: Verdict): boolean {
  return lost === 0 && phantoms === 0 && outOfOrder === 0
}
