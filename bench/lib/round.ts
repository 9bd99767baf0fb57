import { type ChildOptions, runSide } from './child.js'
import { type BenchDatabase, createDatabase } from './database.js'
import { type Measured } from './side.js'
import { type BenchContext, type Run, type Side } from './types.js'

export interface DatabaseRound {
  /** Name in the results. */
  readonly name: string
  /** File below `bench/sides`.  */
  readonly side: string
  readonly schema: boolean
  readonly fill: (database: BenchDatabase) => Promise<void>
  /** Beside `url`. */
  readonly input: (database: BenchDatabase) => object
  /** Something that goes on beside the measured stretch; gives how to end it. */
  readonly beside?: (database: BenchDatabase) => Promise<() => Promise<void>>
  readonly run?: (measured: Measured) => Run
}

/** A side that gets a fresh database for each round. */
export function databaseSide(context: BenchContext, options: DatabaseRound): Side {
  return {
    name: options.name,
    async run(round) {
      const database = await createDatabase(context.server, { schema: options.schema })
      let end = async (): Promise<void> => undefined
      try {
        await options.fill(database)
        await database.settle()
        end = (await options.beside?.(database)) ?? end
        const input = { url: database.url, ...options.input(database) }
        const measured = await runSide(childOptions(context, options.side, input, round))
        return (options.run ?? rate)(measured)
      } finally {
        await end()
        await database.drop()
      }
    },
  }
}

export function childOptions(context: BenchContext, side: string, input: object, round = 0): ChildOptions {
  const { node, build, options } = context
  const profile = round === 1 && /waybill|publish/.test(side) ? options.profile : undefined
  return { node, build, side, input, profile }
}

/** Messages a second. */
export function rate({ messages, seconds, cpuMicros, databaseCpuMicros, maxRssMiB, more }: Measured): Run {
  return { value: messages / seconds, cpuMicros, databaseCpuMicros, maxRssMiB, more }
}
