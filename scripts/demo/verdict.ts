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

export interface JudgeOptions {
  /** Whether first arrivals of a key must not come after later ones; a function: whether this message may not overtake. Default true. */
  readonly ordered?: boolean | ((id: string) => boolean)
  /** What may arrive, and need not. */
  readonly optional?: Iterable<Pick<Committed, 'id'>>
}

/** Compares what was committed for a destination with its arrivals, in the order in which they came. */
export function judge(
  expected: Iterable<Pick<Committed, 'id'>>,
  arrivals: Iterable<Arrival>,
  { ordered = true, optional = [] }: JudgeOptions = {},
): Verdict {
  const wanted = idsOf(expected)
  const possible = idsOf(optional)
  const mayNotOvertake = typeof ordered === 'function' ? ordered : () => ordered
  const seen = new Set<string>()
  const strangers = new Set<string>()
  const latest = new Map<string, number>()
  let delivered = 0
  let duplicates = 0
  let outOfOrder = 0
  for (const { id, key, version } of arrivals) {
    if (seen.has(id) || strangers.has(id)) {
      duplicates++
    } else if (!wanted.has(id) && !possible.has(id)) {
      strangers.add(id)
    } else {
      seen.add(id)
      if (wanted.has(id)) delivered++
      const before = latest.get(key) ?? 0
      if (version < before) outOfOrder++
      if (mayNotOvertake(id)) latest.set(key, Math.max(before, version))
    }
  }
  return {
    published: wanted.size,
    delivered,
    lost: wanted.size - delivered,
    phantoms: strangers.size,
    duplicates,
    outOfOrder: ordered === false ? undefined : outOfOrder,
  }
}

function idsOf(messages: Iterable<Pick<Committed, 'id'>>): Set<string> {
  const ids = new Set<string>()
  for (const { id } of messages) ids.add(id)
  return ids
}

/** Duplicates are within the promise; everything else is not. */
export function isKept({ lost, phantoms, outOfOrder = 0 }: Verdict): boolean {
  return lost === 0 && phantoms === 0 && outOfOrder === 0
}
