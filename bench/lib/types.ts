/** What the benchmarks agree on. */

export interface Options {
  /** Rounds of each side. Every bench has its own default. */
  readonly rounds: number | undefined
  /** Messages of a round. Every bench has its own default. */
  readonly messages: number | undefined
  /** Seconds of a round, for benches that run for a time. */
  readonly seconds: number | undefined
  /** Sides to run; all when undefined. */
  readonly sides: readonly string[] | undefined
  /** Write a CPU profile of our own side's first round here. */
  readonly profile: string | undefined
}

/** What one side did in one round. `value` is in the bench's unit. */
export interface Run {
  readonly value: number
  /** CPU time of the side's process for each message, microseconds. */
  readonly cpuMicros?: number
  /** CPU time of the sessions of its database for each message, microseconds. */
  readonly databaseCpuMicros?: number | undefined
  readonly maxRssMiB?: number
  /** Further figures to print, by name. */
  readonly more?: Readonly<Record<string, number>>
}

export interface Side {
  readonly name: string
  run(round: number): Promise<Run>
}

/** One thing that must hold: `ratio` = median of `side` / median of `than`. */
export interface Goal {
  readonly side: string
  readonly than: string
  readonly least: number
}

/** CPU time for each message, median: `side` takes at most `most` times what `than` takes. */
export interface CostLimit {
  readonly side: string
  readonly than: string
  readonly of: 'program' | 'database'
  readonly most: number
}

/** A bound on the median of a side, for benches with nothing to compare with. */
export interface Limit {
  readonly side: string
  readonly most: number
}

export interface Bench {
  readonly name: string
  readonly unit: string
  readonly about: string
  readonly rounds: number
  /** Waybill's own side first. */
  sides(context: BenchContext): Promise<readonly Side[]>
  readonly goals?: readonly Goal[]
  readonly limits?: readonly Limit[]
  readonly costs?: readonly CostLimit[]
}

export interface BenchContext {
  readonly options: Options
  /** PostgreSQL server, an URL with rights to make databases. */
  readonly server: string
  /** The Node that runs the sides. */
  readonly node: string
  /** Directory of the compiled sides. */
  readonly build: string
  /** Starts a service when it does not run; gives its URL. */
  service(name: 'rabbitmq' | 'kafka'): Promise<string>
  note(text: string): void
  /** Runs when the bench ends, however it ends. */
  onEnd(work: () => Promise<void>): void
}
