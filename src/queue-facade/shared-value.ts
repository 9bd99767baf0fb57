/**
 * What of a payload is still the caller's own while an asynchronous schema runs. A schema that hands its input on, or a
 * part of it, checks an object that the caller may change before it is encoded: what was checked would not be what is
 * stored.
 */
export class SharedValue {
  readonly #objects = new Set<object>()
  readonly #before: string | undefined

  constructor(
    private readonly input: unknown,
    private readonly encode: (value: unknown) => string,
  ) {
    gather(input, this.#objects)
    this.#before = this.#text()
  }

  /** Whether `output` has an object of the input's, and the input has changed since. */
  hasChanged(output: unknown): boolean {
    return this.#objects.size > 0 && hasAny(output, this.#objects, new Set()) && this.#text() !== this.#before
  }

  /** Undefined for what is no JSON; a schema may make some of it. */
  #text(): string | undefined {
    try {
      return this.encode(this.input)
    } catch {
      return undefined
    }
  }
}

function gather(value: unknown, found: Set<object>): void {
  const left = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next !== 'object' || next === null || found.has(next)) continue
    found.add(next)
    left.push(...membersOf(next))
  }
}

function hasAny(value: unknown, of: ReadonlySet<object>, seen: Set<object>): boolean {
  const left = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next !== 'object' || next === null || seen.has(next)) continue
    if (of.has(next)) return true
    seen.add(next)
    left.push(...membersOf(next))
  }
  return false
}

/** Of what can't be encoded, a getter that throws or a Proxy, none: the encoder refuses it. */
function membersOf(value: object): unknown[] {
  try {
    return Object.values(value)
  } catch {
    return []
  }
}
