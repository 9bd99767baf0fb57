import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { migrate } from '../../src/db/migrate.js'
import { pickPort } from '../services/ports.js'
import { countUndelivered, readBoard } from './board.js'
import { assemble, type Cast } from './cast.js'
import { Child } from './child.js'
import { type DemoOptions } from './options.js'
import { allKept, ask, report } from './report.js'
import { openStage } from './stage.js'
import { count, type Paint, seconds } from './text.js'
import { Traffic } from './traffic.js'
import { Troubles } from './troubles.js'
import { type View } from './view.js'

const root = join(import.meta.dirname, '../..')
const example = join(root, 'examples/orders')

interface Play {
  readonly options: DemoOptions
  readonly view: View
  readonly cast: Cast
  readonly pool: pg.Pool
  readonly traffic: Traffic
  readonly troubles: Troubles
  readonly dispatcher: Child
  readonly durationMs: number
  readonly signal: AbortSignal
}

/** True when the promise was kept. Whatever happens, what was started is stopped again. */
export async function runDemo(options: DemoOptions, view: View, paint: Paint, stop: AbortController): Promise<boolean> {
  const { signal } = stop
  const releases: (() => unknown)[] = []
  try {
    view.tell('starting PostgreSQL' + (options.brokers ? ', RabbitMQ and Kafka' : ''))
    const stage = await openStage(options, () => signal.throwIfAborted())
    releases.push(() => stage.close())
    await migrate(stage.databaseUrl, { signal })
    const pool = new pg.Pool({ connectionString: stage.databaseUrl, max: 3 })
    pool.on('error', () => undefined)
    releases.push(() => pool.end())
    view.tell(`${stage.versions.join(', ')}; an empty database with Waybill's schema`)

    const cast = await assemble(stage, pool, options)
    releases.push(() => cast.close())
    const port = await pickPort(0)
    const child = (name: string, args: readonly string[]): Child => {
      const env = {
        ...cast.environment,
        PORT: String(port),
        WAYBILL_CONFIG: join(example, 'waybill.config.ts'),
        WAYBILL_LEASE_MS: '3000',
        WAYBILL_LOG_LEVEL: 'warn',
      }
      const onUnexpectedEnd = (text: string) => stop.abort(new Error(text))
      const made = new Child({ name, args, env, directory: stage.directory, onUnexpectedEnd })
      releases.push(() => made.stop())
      made.start()
      return made
    }
    const script = (name: string) => ['--import', 'tsx', join(example, `src/${name}.ts`)]
    child('orders-api', script('server'))
    child('worker', script('worker'))
    const dispatcher = child('dispatcher', dispatchCommand() ?? script('dispatch'))
    const url = `http://127.0.0.1:${port}`
    await untilHealthy(`${url}/health`, signal)
    view.tell(
      `orders API, job worker and dispatcher run; ${cast.destinations.map(({ name }) => name).join(', ')} receive`,
    )

    const durationMs = Math.min(35_000, Math.max(8_000, options.messages * 17))
    const traffic = new Traffic({ url, messages: options.messages, durationMs, concurrency: 12, signal })
    const troubles = new Troubles((text) => view.tell(paint.yellow(text)))
    const started = performance.now()
    await play({ options, view, cast, pool, traffic, troubles, dispatcher, durationMs, signal })
    const judged = await ask(cast.destinations, traffic.committed)
    const complaints = await complain(cast, pool, traffic)
    const list = troubles.list(cast.receivers, traffic.rolledBack)
    view.print(report(judged, complaints, list, performance.now() - started, paint))
    if (options.keep) await keep(view, stage.databaseUrl, url, signal)
    return allKept(judged, complaints)
  } catch (error) {
    // what a process said before it ended is more than what its absence led to
    throw signal.aborted ? signal.reason : error
  } finally {
    stop.abort(new Error('the demo is over'))
    for (const release of releases.reverse()) await release()
  }
}

/** `waybill dispatch`, as somebody would deploy it. */
function dispatchCommand(): string[] | undefined {
  return existsSync(join(root, 'dist/cli/commands/dispatch.js'))
    ? [join(root, 'dist/cli/main.js'), 'dispatch']
    : undefined
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const response = await fetch(url, { signal }).catch(() => undefined)
    if (response?.ok === true) return
    await sleep(100, undefined, { signal })
  }
}

/** Traffic, troubles and the live view side by side, until everything is delivered or nothing moves any more. */
async function play(p: Play): Promise<void> {
  const ended = new AbortController()
  const signal = AbortSignal.any([p.signal, ended.signal])
  const watching = watch(p, signal)
  try {
    await Promise.all([p.traffic.run(), happen(p), failOf(watching)])
    p.view.tell(`${count(p.traffic.committed.length)} messages are committed; waiting for the last deliveries`)
    await settle(p)
  } finally {
    ended.abort()
    await watching.catch(() => undefined)
    p.view.clear()
  }
}

/** Resolves at once; what goes wrong in the watch is told when it is waited for. */
async function failOf(work: Promise<void>): Promise<void> {
  await Promise.race([work, Promise.resolve()])
}

async function watch(p: Play, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { committed, rolledBack } = p.traffic
    const progress = { published: committed.length, messages: p.options.messages, rolledBack }
    p.view.update(progress, await readBoard(p.pool, p.cast.destinations, p.traffic))
    await sleep(250, undefined, { signal }).catch(() => undefined)
  }
}

/** The bank goes down at a quarter of the way, the dispatcher dies at half of it. */
async function happen({ options, cast, traffic, troubles, dispatcher, durationMs, signal }: Play): Promise<void> {
  const until = async (share: number): Promise<void> => {
    while (traffic.committed.length < options.messages * share) await sleep(20, undefined, { signal })
  }
  const bank = cast.receivers.find(({ name }) => name === 'bank')
  const outage = until(0.25).then(() => bank && troubles.outage(bank, Math.min(5000, durationMs / 6), signal))
  await Promise.all([outage, until(0.5).then(() => troubles.killDispatcher(dispatcher, signal))])
}

/** Until Waybill says that nothing is left, and what brokers hold has been read; or until nothing has moved for 20 s. */
async function settle({ pool, cast, traffic, signal }: Play): Promise<void> {
  let before = -1
  let movedAt = performance.now()
  for (;;) {
    const left = await countUndelivered(pool)
    const rows = await readBoard(pool, cast.destinations, traffic)
    const missing = rows.reduce((sum, { published, received }) => sum + Math.max(0, published - received), 0)
    if (left === 0 && missing === 0) return
    const now = performance.now()
    if (left + missing !== before) movedAt = now
    before = left + missing
    // With nothing left to deliver, only what a broker has on the way can still come.
    if (now - movedAt > (left === 0 ? 5_000 : 20_000)) return
    await sleep(200, undefined, { signal })
  }
}

async function complain(cast: Cast, pool: pg.Pool, traffic: Traffic): Promise<string[]> {
  const complaints: string[] = []
  for (const { name, counts } of cast.receivers) {
    if (counts.badSignatures > 0) complaints.push(`${name}: ${count(counts.badSignatures)} signatures were wrong`)
  }
  const left = await countUndelivered(pool)
  if (left > 0) complaints.push(`${count(left)} deliveries or jobs are still to be done`)
  // The orders themselves know how many messages there are about them, apart from any outbox.
  const { rows } = await pool.query<{ n: string }>('select coalesce(sum(version), 0)::text as n from orders')
  const known = Number(rows[0]?.n)
  if (known !== traffic.committed.length) {
    complaints.push(
      `the orders count ${count(known)} messages, the API answered for ${count(traffic.committed.length)}`,
    )
  }
  return complaints
}

async function keep(view: View, databaseUrl: string, url: string, signal: AbortSignal): Promise<void> {
  view.print([
    '  Everything is left running until Ctrl-C:',
    `    psql ${databaseUrl} -c 'table waybill.lane_status'`,
    `    curl ${url}/orders -d '{"customer":"Ada","sku":"sku-1","quantity":1}'`,
    '',
  ])
  const since = performance.now()
  await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => undefined)
  view.tell(`kept for ${seconds(performance.now() - since)}; stopping`)
}
