import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { configDirectory } from '../integration/cli-fixture.js'
import { onFileEnd } from '../support/cleanup.js'
import { createTestDatabase } from '../support/database.js'
import { startHalfOpenProxy } from '../support/half-open-proxy.js'
import { type HttpReceiver, startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

interface Spawned {
  readonly child: ChildProcess
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>
  stdout(): string
}

/** The real program, in a process of its own. */
function waybill(
  argv: readonly string[],
  { cwd, env, stdin = '' }: { cwd: string; env: object; stdin?: string },
): Spawned {
  const child = spawn(process.execPath, ['--import', tsx, main, ...argv], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let printed = ''
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin)
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const ended = once(child, 'close').then(async ([code]) => {
    const [stdout, stderr] = await output
    return { code: code as number | null, stdout, stderr }
  })
  onFileEnd(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended, stdout: () => printed }
}

async function stage(receiver: HttpReceiver, dispatcher: object = {}) {
  const database = await createTestDatabase()
  const cwd = await configDirectory({
    destinations: { crm: { kind: 'webhook', options: { url: receiver.url, allowNetworks: ['127.0.0.0/8'] } } },
    routes: { '**': 'crm' },
    dispatcher: { maintenance: false, ...dispatcher },
    log: { level: 'error' },
  })
  return { database, options: { cwd, env: { WAYBILL_DATABASE_URL: database.url } } }
}

/** Whether it still runs after so long, ms. */
function within(ms: number, { ended }: Spawned): Promise<unknown> {
  return Promise.race([ended, waitFor(() => false, { timeoutMs: ms }).catch(() => 'runs')])
}

describe('the program', () => {
  it('publishes what is piped in, dispatches it, and stops in order at SIGTERM', async () => {
    const receiver = await startHttpReceiver({ status: 204 })
    const { database, options } = await stage(receiver)
    const lines = Array.from({ length: 2500 }, (_, n) =>
      JSON.stringify({ topic: 'order.created', payload: { n }, key: `k${n % 7}` }),
    )
    const published = await waybill(['publish', '-'], { ...options, stdin: lines.join('\n') }).ended
    expect(published).toEqual({ code: 0, stdout: 'published 2,500 messages\n', stderr: '' })

    const dispatch = waybill(['dispatch'], options)
    await receiver.waitForCount(2500)
    dispatch.child.kill('SIGTERM')
    const { code, stdout, stderr } = await dispatch.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^dispatching to crm as .*\nstopped; delivered 2,500\n$/)
    const { rows } = await database.pool.query('select holder, lag_messages::int from waybill.lane_status')
    expect(rows).toEqual([{ holder: null, lag_messages: 0 }])
  })

  it('waits at the first signal for what is under way, aborts it at the second, and gives its lanes back', async () => {
    const receiver = await startHttpReceiver('hang')
    const { database, options } = await stage(receiver, { drainMs: 600_000 })
    await waybill(['publish', 'order.created', '--payload', '1'], options).ended
    const dispatch = waybill(['dispatch'], options)
    await receiver.waitForCount(1)
    dispatch.child.kill('SIGINT')
    // it has not ended: the answer to its request is waited for
    expect(await within(1500, dispatch)).toBe('runs')
    dispatch.child.kill('SIGINT')
    expect(await dispatch.ended).toMatchObject({ code: 130, stderr: '' })
    expect(dispatch.stdout()).toContain('stopped; delivered 0')
    const { rows } = await database.pool.query(
      `select l.holder, (select count(*)::int from waybill.dispatchers) as dispatchers,
              (select count(*)::int from waybill.attempts) as attempts from waybill.lanes l`,
    )
    expect(rows).toEqual([{ holder: null, dispatchers: 0, attempts: 0 }])
  })

  it('ends at the third signal where even giving back takes for ever', async () => {
    const receiver = await startHttpReceiver('hang')
    const { database, options } = await stage(receiver, { drainMs: 600_000, listen: false })
    const { hostname, port } = new URL(database.url)
    const proxy = await startHalfOpenProxy({ host: hostname, port: Number(port) })
    await waybill(['publish', 'order.created', '--payload', '1'], options).ended
    const dispatch = waybill(['dispatch'], { ...options, env: { WAYBILL_DATABASE_URL: proxy.through(database.url) } })
    await receiver.waitForCount(1)
    proxy.swallow()
    dispatch.child.kill('SIGTERM')
    dispatch.child.kill('SIGINT')
    // other signals in between: two of a kind may arrive as one
    expect(await within(1500, dispatch)).toBe('runs')
    dispatch.child.kill('SIGTERM')
    expect((await dispatch.ended).code).toBe(143)
  })

  it('ends at the second signal where there is nothing to put in order', async () => {
    const receiver = await startHttpReceiver({ status: 204 })
    const { database, options } = await stage(receiver)
    const { hostname, port } = new URL(database.url)
    const proxy = await startHalfOpenProxy({ host: hostname, port: Number(port) })
    proxy.swallow()
    const status = waybill(['status'], { ...options, env: { WAYBILL_DATABASE_URL: proxy.through(database.url) } })
    await waitFor(() => proxy.connections() > 0)
    status.child.kill('SIGTERM')
    expect(await within(500, status)).toBe('runs')
    status.child.kill('SIGTERM')
    expect((await status.ended).code).toBe(143)
  })
})
