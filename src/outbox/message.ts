/** A message as the log holds it. Headers, time and destinations are parsed when somebody asks: most adapters never do. */
export class LogMessage {
  attempt = 1
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly #headers: string | null
  readonly #destinations: string | null
  readonly #createdAt: string

  /** `row`: the columns of `message_page.sql`, each as the text that PostgreSQL sent. */
  constructor(row: readonly (string | null)[]) {
    this.seq = Number(row[0])
    this.id = row[1] as string
    this.topic = row[2] as string
    this.key = row[3] ?? null
    this.payload = row[4] as string
    this.#headers = row[5] ?? null
    this.#destinations = row[6] ?? null
    this.#createdAt = row[7] as string
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#headers === null ? noHeaders : (JSON.parse(this.#headers) as Record<string, string>)
  }

  get createdAt(): Date {
    return new Date(Number(this.#createdAt) * 1000)
  }

  /** The destinations that the publisher named, or null when the routes decide. */
  get destinations(): readonly string[] | null {
    return this.#destinations === null ? null : (JSON.parse(this.#destinations) as string[])
  }
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})
