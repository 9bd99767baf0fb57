import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { processStarted } from '../../scripts/services/processes.js'
import type { ServiceState } from '../../scripts/services/types.js'
import { onFileEnd } from '../support/cleanup.js'
import { serviceUrl } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { ensureBuilt, root } from './built.js'

interface Demo {
  output(): string
  readonly code: Promise<number | null>
  interrupt(): void
}

/** The demo as `npm run demo` starts it. Of the caller's variables it sees only those given. */
function startDemo(args: readonly string[], env: NodeJS.ProcessEnv = {}): Demo {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(WAYBILL|VITEST)/.test(name)))
  const child = spawn(process.execPath, ['scripts/demo.mjs', ...args], {
    cwd: root,
    env: { ...own, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const code = once(child, 'close').then(([status]) => status as number | null)
  onFileEnd(async () => {
    child.kill('SIGTERM')
    await code
  })
  return { output: () => output, code, interrupt: () => void child.kill('SIGINT') }
}

/** The table at the end: rows by destination, with the figures in the order of its columns. */
function figures(output: string): Record<string, string[]> {
  const [, body = ''] = output.split(/^ +destination +published +delivered +lost +phantoms +duplicates +out of order$/m)
  const rows = body.split('In ', 1)[0]?.matchAll(/^ {2}(\w+) +(webhook|jobs|rabbitmq|kafka) +(.+)$/gm) ?? []
  return Object.fromEntries([...rows].map(([, name = '', , rest = '']) => [name, rest.split(/ +/)]))
}

beforeAll(ensureBuilt, 300_000)

describe('npm run demo', () => {
  it('loses nothing, with a dispatcher that is killed, an outage, and both brokers', async () => {
    const demo = startDemo(['--messages', '200'], {
      WAYBILL_DEMO_AMQP_URL: serviceUrl('rabbitmq'),
      WAYBILL_DEMO_KAFKA_BROKERS: serviceUrl('kafka'),
    })
    expect(await demo.code, demo.output()).toBe(0)
    const output = demo.output()
    expect(output).toContain('the dispatcher is killed: SIGKILL')
    expect(output).toContain('the bank is down')
    const table = figures(output)
    expect(Object.keys(table)).toEqual(['crm', 'bank', 'mail', 'bus', 'lake'])
    for (const name of ['crm', 'bus', 'lake']) expect(table[name]?.slice(0, 4)).toEqual(['200', '200', '0', '0'])
    for (const [name, [published, delivered, lost, phantoms, , outOfOrder]] of Object.entries(table)) {
      expect(Number(published), name).toBeGreaterThan(0)
      expect({ name, delivered, lost, phantoms }).toEqual({ name, delivered: published, lost: '0', phantoms: '0' })
      expect(outOfOrder).toBe(name === 'mail' ? '–' : '0')
    }
    expect(output).toContain('✓ Each committed message arrived at least once')
  }, 240_000)

  it('says so when a receiver loses a message, and ends with 1', async () => {
    const demo = startDemo(['--messages', '60'], { WAYBILL_DEMO_LOSE: 'crm' })
    expect(await demo.code, demo.output()).toBe(1)
    const { crm } = figures(demo.output())
    expect(crm?.slice(0, 4)).toEqual(['60', '59', '1', '0'])
    expect(demo.output()).toContain('✗ The promise was not kept.')
  }, 240_000)

  it('stops and removes everything when it is interrupted', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-demo-test-'))
    onFileEnd(() => rm(folder, { recursive: true, force: true }))
    // As root, PostgreSQL runs as another user.
    await chmod(folder, 0o755)
    const demo = startDemo(['--messages', '1000'], { TMPDIR: folder })
    await waitFor(() => /published [1-9]/.test(demo.output()), { what: 'traffic' })
    const [stage = ''] = await stages(folder)
    const state = JSON.parse(await readFile(join(folder, stage, 'services/pg18.json'), 'utf8')) as ServiceState
    expect(processStarted(state.pid)).toBe(state.pidStarted)
    demo.interrupt()
    expect(await demo.code, demo.output()).toBe(130)
    expect(processStarted(state.pid)).not.toBe(state.pidStarted)
    expect(await stages(folder)).toEqual([])
  }, 240_000)

  it('refuses what it does not understand', async () => {
    const demo = startDemo(['--messages', 'many'])
    expect(await demo.code).toBe(1)
    expect(demo.output()).toContain('--messages is many')
  })
})

async function stages(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith('waybill-demo-'))
}
