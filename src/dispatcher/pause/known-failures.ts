/** What is known of a failure of a topic. `all`: no message of the topic got through since; `some`: others of it did. */
export type Known = 'all' | 'some'

interface Fingerprint {
  known: Known
  /** One that was convicted of it got through after all: it says nothing for as long as it is remembered. */
  doubted: boolean
  at: number
}

/** How long a conviction is remembered after the latest of its kind, milliseconds. */
const rememberMs = 10 * 60_000
/** Topics, at most: the least recently convicted go first. */
const mostTopics = 200
/** Codes of one topic, at most. */
const mostCodes = 20

/**
 * What messages were convicted of: the code of the failure and the topic. The same failure of the same topic is no news,
 * and stops nothing while others get through.
 */
export class KnownFailures {
  readonly #topics = new Map<string, Map<string, Fingerprint>>()

  look(code: string, topic: string, now: number): Known | undefined {
    const found = this.#topics.get(topic)?.get(code)
    return found && !found.doubted && now - found.at < rememberMs ? found.known : undefined
  }

  convicted(code: string, topic: string, now: number): void {
    const codes = this.#topics.get(topic) ?? new Map<string, Fingerprint>()
    const before = codes.get(code)
    const fresh = before !== undefined && now - before.at < rememberMs
    const kept = fresh ? { known: before.known, doubted: before.doubted } : { known: 'all' as const, doubted: false }
    codes.delete(code)
    codes.set(code, { ...kept, at: now })
    this.#topics.delete(topic)
    this.#topics.set(topic, codes)
    forgetOldest(codes, mostCodes)
    forgetOldest(this.#topics, mostTopics)
  }

  /** A message of the topic got through. */
  gotThrough(topic: string): void {
    const codes = this.#topics.size > 0 ? this.#topics.get(topic) : undefined
    for (const each of codes?.values() ?? []) each.known = 'some'
  }

  /** A message that was convicted of it got through after all. */
  doubt(code: string, topic: string): void {
    const found = this.#topics.get(topic)?.get(code)
    if (found) found.doubted = true
  }
}

function forgetOldest(map: Map<string, unknown>, most: number): void {
  if (map.size <= most) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
