import type { DispatchCounters, DispatcherService, RunReport } from '../../app/dispatching.js'
import { WaybillError } from '../../core/errors.js'
import { timeLimit } from '../../core/time-limit.js'
import { whenAborted } from '../../core/when-aborted.js'
import { type CommandContext, defineCommand, type ExitCode, option, usageError } from '../command.js'
import { formatCount } from '../output.js'

/** `waybill dispatch`: delivers, until it is told to stop. */
export const register = defineCommand({
  name: 'dispatch',
  summary: 'Deliver: run a dispatcher until it is stopped',
  description: [
    'SIGINT or SIGTERM stops in two stages: what is under way is waited for up to dispatcher.drainMs, then aborted. A',
    'second signal aborts it at once; lanes are given back either way. A third ends the process: its lanes are then taken',
    'over when their lease has run out.',
    '',
    '--once makes one pass of everything that was committed when it began; a lane whose destination is down is not',
    'waited for. --until-empty goes on until nothing is pending and nothing will be tried again: it waits for',
    'destinations that are down, and for retries. Both exit with 1 when anything stays undelivered: retrying, held,',
    'dead, or behind a lane that is paused. Messages for later that are not due do not count.',
    '',
    'A database that is away when it starts is waited for, and /readyz answers 503 meanwhile; with --once and',
    '--until-empty that is an error at once.',
    '',
    'Logs are lines of JSON on standard error.',
  ].join('\n'),
  options: {
    once: option.flag({ summary: 'one pass, then exit' }),
    untilEmpty: option.flag({ summary: 'exit when nothing is left to deliver' }),
    timeout: option.duration({ summary: 'with --once or --until-empty: exit with 1 after this long' }),
    healthPort: option.number({
      summary: 'serve /healthz, /readyz and /metrics there; 0: a free port, which is printed',
      min: 0,
      max: 65_535,
      value: 'port',
    }),
    healthHost: option.text({
      summary: 'address to serve them on; in a container probes come from outside',
      default: '0.0.0.0',
      value: 'address',
    }),
  },
  async run(ctx, _args, { once, untilEmpty, timeout, healthPort, healthHost }): Promise<ExitCode> {
    if (once && untilEmpty) throw usageError('give --once or --until-empty, not both')
    const ends = once || untilEmpty
    if (timeout !== undefined && !ends) throw usageError('--timeout goes with --once or --until-empty')
    const config = await ctx.loadConfig()
    const { createDispatcher, createLogger, DispatchCounters, startHealthServer, waitForDatabase } =
      await import('../../app/dispatching.js')
    if (config.destinations.length === 0)
      throw new WaybillError(
        'WAYBILL_CONFIG_INVALID',
        'destinations: none is configured, so there is nothing to deliver to',
      )
    // tells an unreachable database and a missing schema in words, before anything starts
    if (ends) await ctx.schema()
    const logger = createLogger({ level: config.log.level, destination: ctx.io.stderr })
    const counters = new DispatchCounters()
    const service = createDispatcher(config, { logger, hooks: counters.hooks, environment: ctx.io.env })
    const stop = stopper(ctx, service)
    ctx.onEnd(stop)
    let started = false
    if (healthPort !== undefined) {
      const connectionString = config.database.url.reveal()
      const health = { service, started: () => started, counters, connectionString, logger }
      const server = await startHealthServer({ ...health, port: healthPort, host: healthHost })
      ctx.onEnd(() => server.close())
      ctx.out.item({ event: 'health', url: server.url, port: server.port }, `health on ${server.url}`)
    }
    if (!ends && !(await waitForDatabase(ctx.schema, { logger, signal: ctx.io.signal }))) {
      ctx.out.item({ event: 'stopped', delivered: 0 }, 'stopped before the database was there')
      return 0
    }
    const deployed = await service.start()
    started = true
    if (deployed.stale && ends) {
      throw new WaybillError(
        'WAYBILL_CONFIG_STALE',
        `generation ${deployed.generation} is older than what is deployed: a dispatcher with it takes no lanes; deploy the newer configuration here too`,
      )
    }
    const names = config.destinations.map((destination) => destination.name)
    ctx.out.item(
      {
        event: 'dispatching',
        name: service.name,
        id: service.id,
        generation: deployed.generation,
        destinations: names,
      },
      `dispatching to ${names.join(', ')} as ${service.name}`,
    )
    if (ends) return runToEnd(ctx, service, counters, { once, timeout })
    await whenAborted(ctx.io.signal)
    await stop()
    const delivered = counters.deliveredTotal
    ctx.out.item({ event: 'stopped', delivered }, `stopped; delivered ${formatCount(delivered)}`)
    return 0
  },
})

/** What stops the service, in two stages; at the second signal it goes on to the second stage. */
function stopper({ io, onEnd }: CommandContext, service: DispatcherService): () => Promise<void> {
  let stopping = false
  const stop = (): Promise<void> => {
    stopping = true
    return service.stop(io.urgent.aborted ? { drainMs: 0 } : {})
  }
  const hurry = (): void => {
    if (stopping) void stop() // the promise that is waited for already
  }
  io.urgent.addEventListener('abort', hurry, { once: true })
  onEnd(() => io.urgent.removeEventListener('abort', hurry))
  return stop
}

async function runToEnd(
  { io, out }: CommandContext,
  service: DispatcherService,
  counters: DispatchCounters,
  { once, timeout }: { readonly once: boolean; readonly timeout: number | undefined },
): Promise<ExitCode> {
  const { isClean, passOnce, runUntilEmpty } = await import('../../app/dispatching.js')
  const limit = timeout === undefined ? undefined : timeLimit(timeout, io.signal)
  const run = { service, counters, signal: limit?.signal ?? io.signal }
  const report = await (once ? passOnce(run) : runUntilEmpty(run)).finally(() => limit?.clear())
  out.item({ event: 'ended', ...report }, sentence(report))
  return isClean(report) ? 0 : 1
}

function sentence(report: RunReport): string {
  const left = (['retrying', 'held', 'dead'] as const)
    .filter((state) => report[state] > 0)
    .map((state) => `${formatCount(report[state])} ${state}`)
  const paused = report.paused.map(({ destination, kind, reason }) => `paused: ${destination} (${kind}: ${reason})`)
  const why = report.ended ? [] : ['it did not come to its end']
  const rest = [...why, ...left, ...paused]
  return `delivered ${formatCount(report.delivered)}; ${rest.length === 0 ? 'nothing is left' : rest.join('; ')}`
}
