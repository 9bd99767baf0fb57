import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { pickPort } from '../services/ports.js'
import { run } from '../services/processes.js'
import { assemble } from './cast.js'
import { Child } from './child.js'
import type { DemoOptions } from './options.js'
import { allKept, ask, report } from './report.js'
import { complain, play } from './play.js'
import { openStage } from './stage.js'
import { type Paint, seconds } from './text.js'
import { Traffic } from './traffic.js'
import { Troubles } from './troubles.js'
import type { View } from './view.js'

const root = join(import.meta.dirname, '../..')
const example = join(root, 'examples/orders')
/** What `npx waybill` runs. */
const waybill = join(root, 'dist/cli/main.js')

/** True when the promise was kept. Whatever happens, what was started is stopped again. */
export async function runDemo(options: DemoOptions, view: View, paint: Paint, stop: AbortController): Promise<boolean> {
  const { signal } = stop
  const releases: (() => unknown)[] = []
  try {
    view.tell('starting PostgreSQL' + (options.brokers ? ', RabbitMQ and Kafka' : ''))
    const stage = await openStage(options, () => signal.throwIfAborted())
    releases.push(() => stage.close())
    const pool = new pg.Pool({ connectionString: stage.databaseUrl, max: 3 })
    pool.on('error', () => undefined)
    releases.push(() => pool.end())
    const cast = await assemble(stage, pool, options)
    releases.push(() => cast.close())
    const environment = { ...cast.environment, WAYBILL_CONFIG: join(example, 'waybill.config.ts') }
    await run(process.execPath, [waybill, 'migrate'], { env: environment })
    view.tell(`${stage.versions.join(', ')}; an empty database with Waybill's schema`)

    const port = await pickPort(0)
    const child = (name: string, args: readonly string[]): Child => {
      const env = { ...environment, PORT: String(port), WAYBILL_LEASE_MS: '5000', WAYBILL_LOG_LEVEL: 'warn' }
      const onUnexpectedEnd = (text: string) => stop.abort(new Error(text))
      const made = new Child({ name, args, env, directory: stage.directory, onUnexpectedEnd })
      releases.push(() => made.stop())
      made.start()
      return made
    }
    const script = (name: string) => ['--import', 'tsx', join(example, `src/${name}.ts`)]
    child('orders-api', script('server'))
    child('worker', script('worker'))
    const dispatcher = child('dispatcher', [waybill, 'dispatch'])
    const url = `http://127.0.0.1:${port}`
    await untilHealthy(`${url}/health`, signal)
    view.tell(
      `orders API, job worker and dispatcher run; ${cast.destinations.map(({ name }) => name).join(', ')} receive`,
    )

    const durationMs = Math.min(35_000, Math.max(8_000, options.messages * 17))
    const traffic = new Traffic({ url, messages: options.messages, durationMs, concurrency: 12, signal })
    const troubles = new Troubles((text) => view.tell(paint.yellow(text)))
    const started = performance.now()
    await play({ options, view, cast, pool, traffic, troubles, dispatcher, durationMs, stop })
    const judged = await ask(cast.destinations, traffic.committed)
    const complaints = await complain(cast, pool, traffic)
    const list = troubles.list(cast.receivers, traffic.rolledBack)
    view.print(report(judged, complaints, list, performance.now() - started, paint))
    if (!allKept(judged, complaints)) view.print([`  The end of the dispatcher's log:`, dispatcher.tail(), ''])
    if (options.keep) await keep(view, join(stage.directory, 'env'), environment, url, signal)
    return allKept(judged, complaints)
  } catch (error) {
    // what a process said before it ended is more than what its absence led to
    throw signal.aborted ? signal.reason : error
  } finally {
    stop.abort(new Error('the demo is over'))
    await releaseAll(releases.reverse())
  }
}

/** Each of them, though one before it fails: a server must not go on because a socket could not be closed. */
async function releaseAll(releases: readonly (() => unknown)[]): Promise<void> {
  const errors: unknown[] = []
  for (const release of releases) {
    try {
      await release()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `cleaning up failed: ${errors.map(String).join('; ')}`)
}

async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const response = await fetch(url, { signal }).catch(() => undefined)
    if (response?.ok === true) return
    await sleep(100, undefined, { signal })
  }
}

async function keep(
  view: View,
  file: string,
  environment: Readonly<Record<string, string>>,
  url: string,
  signal: AbortSignal,
): Promise<void> {
  const lines = Object.entries(environment).map(
    ([name, value]) => `export ${name}='${value}'
`,
  )
  await writeFile(file, lines.join(''))
  view.print([
    '  Everything is left running until Ctrl-C. In another terminal:',
    `    . ${file}`,
    '    npx waybill status --watch',
    `    curl ${url}/orders -d '{"customer":"Ada","sku":"sku-1","quantity":1}'`,
    '    psql "$DATABASE_URL" -c "table waybill.undelivered"',
    '',
  ])
  const since = performance.now()
  await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => undefined)
  view.tell(`kept for ${seconds(performance.now() - since)}; stopping`)
}
