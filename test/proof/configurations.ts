import type { DeliveryOptions } from '../../src/config/destinations/delivery.js'

/** What a dispatcher of the proof is configured with. */
export interface Configuration {
  readonly generation: number
  /** Topics that a destination wants, by its name: written out, or `**`. Names beside the usual four are webhooks. */
  readonly wants: Readonly<Record<string, readonly string[]>>
  /** What differs from the proof's usual delivery options, by destination. */
  readonly options?: Readonly<Record<string, DeliveryOptions>>
  /** Attempts of each job, where they are not the usual ones. */
  readonly jobMaxAttempts?: number
  /** By which name a webhook is reached, by destination; otherwise by its address. */
  readonly hosts?: Readonly<Record<string, string>>
}

/** The usual destinations: a webhook, RabbitMQ, Kafka, the job queue. */
export const usual = ['crm', 'bus', 'lake', 'work'] as const

export const firstConfiguration: Configuration = {
  generation: 1,
  wants: Object.fromEntries(usual.map((name) => [name, ['**']])),
}

/** What the publisher of a message knew of deployments. */
export interface Note {
  readonly topic: string
  /** The generation that the database showed before the message was published, in the same transaction. */
  readonly seen: number
  /** The newest whose deployment had begun when its commit had returned; undefined: the client never heard of a commit. */
  until?: number
  /** By the wall clock, before it was published. */
  readonly at: number
}

/** Configurations in the order in which they were deployed, and which messages each destination has to get by them. */
export class Deployments {
  readonly #all: Configuration[]

  constructor(first: Configuration) {
    this.#all = [first]
  }

  /** Before the first process with it is started. */
  begin(configuration: Configuration): void {
    this.#all.push(configuration)
  }

  get newest(): Configuration {
    return this.#all.at(-1) as Configuration
  }

  /** Names of all destinations that there ever were. */
  get destinations(): string[] {
    return [...new Set(this.#all.flatMap(({ wants }) => Object.keys(wants)))]
  }

  /**
   * A message that was published while one configuration was deployed is its alone. One that met two may be treated by
   * either; so may what lay before a destination that was removed later.
   */
  isWanted(destination: string, note: Note | undefined): 'yes' | 'no' | 'either' {
    if (!note) return 'yes'
    const answers = new Set(this.#met(note).map((each) => this.#wants(each, destination, note)))
    const [answer = 'either'] = answers
    if (answers.size > 1) return 'either'
    return answer === 'yes' && !this.newest.wants[destination] ? 'either' : answer
  }

  /** Whether a message must not overtake earlier ones of its key, by every configuration that it may be treated by. */
  isOrdered(destination: string, note: Note | undefined): boolean {
    if (!note) return true
    return this.#met(note).every(({ options }) => options?.[destination]?.order !== 'none')
  }

  #met({ seen, until = this.newest.generation }: Note): Configuration[] {
    return this.#all.filter(({ generation }) => generation >= seen && generation <= until)
  }

  #wants(configuration: Configuration, destination: string, note: Note): 'yes' | 'no' | 'either' {
    const wants = ({ wants }: Configuration): boolean =>
      (wants[destination] ?? []).some((pattern) => pattern === '**' || pattern === note.topic)
    if (configuration.wants[destination]) return wants(configuration) ? 'yes' : 'no'
    // a destination that was added later reads what lay there before, from its `from` on
    const adding = this.#all.find((each) => each.wants[destination] && each.generation > configuration.generation)
    const from = adding?.options?.[destination]?.from ?? 'latest'
    if (!adding || from === 'latest' || !wants(adding)) return 'no'
    // by seq a destination may begin a little before its time
    return from === 'earliest' || note.at >= new Date(from).getTime() ? 'yes' : 'either'
  }
}
