import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { metricDefinitions, MetricsPage } from '../../src/telemetry/metrics.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { type HttpReceiver, startHttpReceiver } from '../support/http-receiver.js'
import { startSwitchProxy } from '../support/switch-proxy.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { cli, configDirectory, errorOf, type RunningCli, startCli } from './cli-fixture.js'

interface Stage {
  readonly database: TestDatabase
  readonly receiver: HttpReceiver
  readonly options: { readonly env: Record<string, string>; readonly cwd: string }
}

/** A database, a webhook and the job queue, each order to both. */
async function stage(webhook: object = {}, dispatcher: object = {}): Promise<Stage> {
  const database = await createTestDatabase()
  const receiver = await startHttpReceiver({ status: 200 })
  const fast = { backoff: { base: '20ms', cap: '100ms' }, probe: { base: '20ms', cap: '100ms' } }
  const options = { url: receiver.url, allowNetworks: ['127.0.0.0/8'], deadOn: [422], ...fast, ...webhook }
  const cwd = await configDirectory({
    destinations: { crm: { kind: 'webhook', options }, mail: { kind: 'jobs' } },
    routes: { 'order.*': ['crm', 'mail'] },
    dispatcher: { leaseMs: 2000, maintenance: false, ...dispatcher },
    log: { level: 'error' },
  })
  return { database, receiver, options: { env: { WAYBILL_DATABASE_URL: database.url }, cwd } }
}

async function publishOrder({ options }: Stage, payload: object, key = 'k'): Promise<string> {
  const argv = ['publish', 'order.created', '--payload', JSON.stringify(payload), '--key', key, '--json']
  const { stdout } = await cli(argv, options)
  return (JSON.parse(stdout) as { id: string }).id
}

function events(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('waybill dispatch', () => {
  it('waits for a database that is away when it starts, unready meanwhile; one pass fails at once', async () => {
    const at = await stage()
    const server = new URL(at.database.url)
    const proxy = await startSwitchProxy(1)
    const url = new URL(server)
    url.host = `127.0.0.1:${proxy.port}`
    const options = { ...at.options, env: { WAYBILL_DATABASE_URL: url.href } }
    const once = await cli(['dispatch', '--once', '--json'], options)
    expect([once.code, errorOf(once).code]).toEqual([1, 'WAYBILL_DATABASE_UNREACHABLE'])

    const run = startCli(['dispatch', '--json', '--health-port', '0', '--health-host', '127.0.0.1'], options)
    await waitFor(() => run.stdout().includes('"event":"health"'))
    const { port } = events(run.stdout())[0] as { port: number }
    const probe = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status
    expect([await probe('/readyz'), await probe('/healthz')]).toEqual([503, 200])
    await waitFor(() => run.stderr().includes('the database is away'))
    proxy.switchTo(Number(server.port))
    await waitFor(() => run.stdout().includes('"event":"dispatching"'), { timeoutMs: 20_000 })
    await waitFor(async () => (await probe('/readyz')) === 200)
    run.stop()
    expect((await run.result).code).toBe(0)
  })

  it('stops while it waits, and does not wait for what no waiting mends', async () => {
    const at = await stage()
    const nowhere = {
      ...at.options,
      env: { WAYBILL_DATABASE_URL: 'postgres://postgres@127.0.0.1:1/x' },
    }
    const run = startCli(['dispatch', '--json'], nowhere)
    await waitFor(() => run.stderr().includes('the database is away'))
    run.stop()
    expect(await run.result).toMatchObject({ code: 0, stdout: '{"event":"stopped","delivered":0}\n' })
    const url = new URL(at.database.url)
    url.pathname = '/there-is-no-such-database'
    const refused = await cli(['dispatch', '--json'], { ...at.options, env: { WAYBILL_DATABASE_URL: url.href } })
    expect([refused.code, errorOf(refused).code]).toEqual([1, 'WAYBILL_DATABASE_UNREACHABLE'])
  })

  it('delivers until it is told to stop, and gives its lanes back', async () => {
    const at = await stage()
    const id = await publishOrder(at, { n: 1 })
    const run = startCli(['dispatch', '--json'], at.options)
    const [request] = await at.receiver.waitForCount(1)
    expect(request?.headers['webhook-id']).toBe(id)
    expect(request?.body.toString()).toBe('{"n":1}')
    run.stop()
    const { code, stdout, stderr } = await run.result
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(events(stdout)).toMatchObject([
      { event: 'dispatching', generation: 1, destinations: ['crm', 'mail'] },
      { event: 'stopped' },
    ])
    const { rows } = await at.database.pool.query('select from waybill.lanes where holder is not null')
    expect(rows).toEqual([])
  })

  it('refuses what it can not do, before it starts', async () => {
    const empty = await createTestDatabase({ empty: true })
    const at = await stage()
    const failure = async (argv: string[], options: object) => {
      const result = await cli(['dispatch', '--json', ...argv], { ...at.options, ...options })
      expect(result.stdout).toBe('')
      return { exit: result.code, code: errorOf(result).code }
    }
    const none = await configDirectory({})
    expect(await failure([], { cwd: none })).toEqual({ exit: 1, code: 'WAYBILL_CONFIG_INVALID' })
    const lacking = { env: { WAYBILL_DATABASE_URL: empty.url } }
    expect(await failure([], lacking)).toEqual({ exit: 1, code: 'WAYBILL_SCHEMA_MISSING' })
    const absent = { env: { WAYBILL_DATABASE_URL: 'postgres://u:p@127.0.0.1:1/x' } }
    // one that stays waits for it
    expect(await failure(['--once'], absent)).toEqual({ exit: 1, code: 'WAYBILL_DATABASE_UNREACHABLE' })
    expect(await failure(['--once', '--until-empty'], {})).toEqual({ exit: 2, code: 'WAYBILL_USAGE' })
    expect(await failure(['--timeout', '1s'], {})).toEqual({ exit: 2, code: 'WAYBILL_USAGE' })
    expect(await failure(['--health-port', '70000'], {})).toEqual({ exit: 2, code: 'WAYBILL_USAGE' })
    const port = String(at.receiver.port)
    const taken = ['--health-port', port, '--health-host', '127.0.0.1']
    expect(await failure(taken, {})).toEqual({ exit: 1, code: 'WAYBILL_CONFIG_INVALID' })
  })
})

describe('waybill dispatch --once', () => {
  async function once({ options }: Stage, ...argv: string[]) {
    const { code, stdout } = await cli(['dispatch', '--once', '--json', ...argv], options)
    return { code, ...events(stdout).at(-1) }
  }
  const clean = { retrying: 0, held: 0, dead: 0, paused: [], ended: true }

  it('delivers what was there and exits with 0; with nothing there too', async () => {
    const at = await stage()
    for (let n = 0; n < 3; n++) await publishOrder(at, { n })
    expect(await once(at)).toEqual({ code: 0, event: 'ended', delivered: 6, ...clean })
    expect(at.receiver.received()).toHaveLength(3)
    expect(await once(at)).toEqual({ code: 0, event: 'ended', delivered: 0, ...clean })
  })

  it('does not wait for a destination that is down; the others get theirs, and it exits with 1', async () => {
    const at = await stage({ probe: { base: '1m', cap: '1m' } })
    at.receiver.respondWith({ status: 503 })
    await publishOrder(at, { n: 1 })
    expect(await once(at)).toMatchObject({
      code: 1,
      delivered: 1,
      ended: true,
      paused: [{ destination: 'crm', kind: 'outage', reason: expect.stringContaining('HTTP_503') as string }],
    })
    // the pause of an earlier run is no reason not to try
    at.receiver.respondWith({ status: 200 })
    expect(await once(at)).toMatchObject({ code: 0, delivered: 1, paused: [] })
  })

  it('does not wait for a stand-by that is away: it says so and exits with 1, and "status" says why', async () => {
    const at = await stage({}, { durability: { replicated: 'second' } })
    await publishOrder(at, { n: 1 })
    const { code, stdout } = await cli(['dispatch', '--once', '--json'], at.options)
    const pause = { kind: 'standby', reason: expect.stringContaining('stand-by "second" does not stream') as string }
    expect(code).toBe(1)
    expect(events(stdout).at(-1)).toMatchObject({
      ...{ delivered: 0, ended: true },
      paused: [
        { destination: 'crm', ...pause },
        { destination: 'mail', ...pause },
      ],
    })
    expect(at.receiver.received()).toEqual([])
    expect((await cli(['status'], at.options)).stdout).toContain('standby: stand-by "second" does not stream')
  })

  it('exits with 1 when something was parked', async () => {
    const at = await stage({ backoff: { base: '1h', cap: '1h' } })
    at.receiver.respondWith(({ body }) => ({ status: body.toString().includes('poison') ? 500 : 200 }))
    await publishOrder(at, { poison: true }, 'a')
    await publishOrder(at, { n: 1 }, 'a')
    await publishOrder(at, { n: 2 }, 'b')
    expect(await once(at)).toMatchObject({ code: 1, delivered: 4, retrying: 1, held: 1, dead: 0, ended: true })
  })

  it('ends when its time is over', async () => {
    const at = await stage()
    at.receiver.respondWith('hang')
    await publishOrder(at, { n: 1 })
    const run = startCli(['dispatch', '--once', '--timeout', '300ms', '--json'], {
      ...at.options,
      env: { ...at.options.env, WAYBILL_DRAIN_MS: '0' },
    })
    const { code, stdout } = await run.result
    expect({ code, last: events(stdout).at(-1) }).toMatchObject({ code: 1, last: { ended: false } })
  })
})

describe('waybill dispatch --until-empty', () => {
  it('waits for retries and for a destination that is down', async () => {
    const at = await stage()
    let asked = 0
    at.receiver.respondWith(() => ({ status: [503, 503, 500, 200][asked++] ?? 200 }))
    await publishOrder(at, { n: 1 })
    const { code, stdout } = await cli(['dispatch', '--until-empty', '--timeout', '20s'], at.options)
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/\ndelivered 2; nothing is left\n$/) as string,
    })
    expect(asked).toBeGreaterThanOrEqual(4)
  })

  it('leaves what is dead and what is held behind it, and exits with 1', async () => {
    const at = await stage()
    at.receiver.respondWith(({ body }) => ({ status: body.toString().includes('poison') ? 422 : 200 }))
    await publishOrder(at, { poison: true }, 'a')
    await publishOrder(at, { n: 1 }, 'a')
    const { code, stdout } = await cli(['dispatch', '--until-empty', '--timeout', '20s'], at.options)
    expect(code).toBe(1)
    expect(stdout).toMatch(/\ndelivered 2; 1 held; 1 dead\n$/)
  })
})

async function promtool(text: string): Promise<string> {
  const child = promisify(execFile)('promtool', ['check', 'metrics'])
  child.child.stdin?.end(text)
  const { stdout, stderr } = await child
  return stdout + stderr
}

describe('health and metrics', () => {
  it('few connections are kept, and a probe gets through however many others are open', async () => {
    const at = await stage()
    const { run, get, port } = await health(at)
    const sockets: Socket[] = []
    let open = 0
    try {
      for (let index = 0; index < 400; index++) {
        const socket = connect(port, '127.0.0.1')
        socket.on('error', () => undefined).on('close', () => open--)
        await once(socket, 'connect')
        sockets.push(socket)
        open++
      }
      await waitFor(() => open <= 64, { what: 'connections to be cut' })
      expect((await get('/healthz')).status).toBe(200)
      // and none stays that asks nothing
      await waitFor(() => open === 0, { what: 'the rest to be cut', timeoutMs: 20_000 })
    } finally {
      for (const socket of sockets) socket.destroy()
      run.stop()
    }
  }, 60_000)

  async function health(
    at: Stage,
  ): Promise<{ run: RunningCli; port: number; get: (path: string, method?: string) => Promise<Response> }> {
    const run = startCli(['dispatch', '--json', '--health-port', '0', '--health-host', '127.0.0.1'], at.options)
    await waitFor(() => run.stdout().includes('"dispatching"'), { what: 'the start' })
    const { port } = events(run.stdout())[0] as { port: number }
    return { run, port, get: (path, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method }) }
  }

  it('answers probes, and metrics that promtool accepts', async () => {
    const at = await stage()
    at.receiver.respondWith(({ body }) => ({ status: body.toString().includes('poison') ? 422 : 200 }))
    await publishOrder(at, { poison: true }, 'quote " back\\slash')
    await publishOrder(at, { n: 1 })
    const { run, get } = await health(at)
    await at.receiver.waitForCount(2)
    await eventually(async () => {
      const ready = await get('/readyz')
      expect({ status: ready.status, body: await ready.json() }).toEqual({
        status: 200,
        body: { ok: true, reasons: [] },
      })
    })
    expect(await (await get('/healthz?verbose')).json()).toEqual({ ok: true, reasons: [] })
    // the figures of the database are kept for five seconds
    const text = await waitFor(
      async () => {
        const page = await (await get('/metrics')).text()
        const settled = [
          'waybill_parked{destination="crm",shard="0",state="dead"} 1',
          'waybill_delivered_total{destination="mail",shard="0"} 2',
        ]
        return settled.every((line) => page.includes(`${line}\n`)) && page
      },
      { what: 'one dead and two delivered in the metrics' },
    )
    expect(await promtool(text)).toBe('')
    expect(text).toContain('waybill_dispatcher_delivered_total{destination="crm"} 1\n')
    expect(text).toContain('waybill_dispatcher_dead_total{destination="crm"} 1\n')
    expect(text).toContain('waybill_published_total 2\n')
    expect(text).toMatch(/waybill_oldest_undelivered_seconds\{destination="crm"\} \d/)
    expect((await get('/metrics')).headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect((await get('/metrics', 'POST')).status).toBe(405)
    expect((await get('/payloads')).status).toBe(404)
    run.stop()
    expect((await run.result).code).toBe(0)
    await expect(get('/healthz')).rejects.toThrow()
  })

  it('says that it is neither well nor ready when the database is gone, and still has metrics', async () => {
    const at = await stage()
    const { run, get } = await health(at)
    const admin = await createTestDatabase({ empty: true })
    const { name } = at.database
    await admin.pool.query(`alter database ${name} with allow_connections false`)
    await admin.pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [name])
    await waitFor(async () => (await get('/healthz')).status === 503, { what: 'the lease to run out' })
    const ready = await waitFor(async () => {
      const response = await get('/readyz')
      const body = (await response.json()) as { reasons: string[] }
      return response.status === 503 && body.reasons.length === 2 && body
    })
    expect(ready).toEqual({
      ok: false,
      reasons: ['the lease was not renewed in time', 'the database does not answer, or its schema is not there'],
    })
    const text = await (await get('/metrics')).text()
    expect(text).toContain('waybill_dispatcher_database_up 0\n')
    expect(text).toContain('waybill_dispatcher_healthy 0\n')
    expect(text).not.toContain('waybill_lag_messages')
    expect(await promtool(text)).toBe('')
    await admin.pool.query(`alter database ${name} with allow_connections true`)
    await waitFor(async () => (await get('/healthz')).status === 200, { what: 'the lease' })
    run.stop()
    await run.result
  })

  it('writes any label value so that promtool reads it', async () => {
    const page = new MetricsPage()
    for (const [name, { labels }] of Object.entries(metricDefinitions)) {
      const values = Object.fromEntries(labels.map((label) => [label, `a"b\\c\nd é`]))
      page.add(name as keyof typeof metricDefinitions, 1.5e300, values)
    }
    expect(await promtool(page.text())).toBe('')
  })
})
