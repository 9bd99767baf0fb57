import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { version } from '../../src/core/version.js'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'waybill-cli-'))
  await writeFile(
    join(cwd, 'waybill.config.ts'),
    `import { defineConfig, env, jobs, webhook } from 'waybill/config'
     export default defineConfig({
       destinations: { crm: webhook({ url: 'https://crm.example/', secrets: [env('CRM_SECRET')] }), spare: jobs() },
       routes: { 'order.*': 'crm' },
     })`,
  )
  await writeFile(join(cwd, 'bad.json'), '{"log":{"level":"loud"},"retention":"soon","bogus":1}')
})
afterAll(() => rm(cwd, { recursive: true }))

const environment = {
  WAYBILL_DATABASE_URL: 'postgres://u:hunter2@db/shop',
  CRM_SECRET: 'whsec_aHVudGVyMmh1bnRlcjJodW50ZXIy',
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null]
  return code
}

/** The real program, in a process of its own. */
async function waybill(args: readonly string[], variables: Record<string, string> = environment) {
  const env = { PATH: process.env['PATH'], ...variables }
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exitCode(child)])
  return { stdout, stderr, code }
}

describe('waybill', () => {
  it('tells its version and its commands', async () => {
    expect(await waybill(['--version'])).toEqual({ stdout: `${version}\n`, stderr: '', code: 0 })
    const help = await waybill(['--help'])
    expect(help.code).toBe(0)
    expect(help.stdout).toMatch(/^ {2}config +Check the configuration/m)
    expect((await waybill(['config', '--help'])).stdout).toContain('--database-url <url>')
  })

  it('shows help and fails as a usage error when called without a command', async () => {
    const { stdout, stderr, code } = await waybill([])
    expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
    expect(stderr).toContain('Usage: waybill')
  })

  it('calls wrong usage by its name and exits with 2', async () => {
    expect(await waybill(['confg'])).toMatchObject({
      stdout: '',
      stderr: expect.stringContaining(`waybill: unknown command 'confg'`) as string,
      code: 2,
    })
    const { stdout, stderr, code } = await waybill(['config', '--bogus', '--json'])
    expect({ stdout, code }).toEqual({ stdout: '', code: 2 })
    expect(JSON.parse(stderr)).toEqual({ error: { code: 'WAYBILL_USAGE', message: `unknown option '--bogus'` } })
  })
})

describe('waybill config', () => {
  it('shows the resolved configuration for people, without secrets', async () => {
    const { stdout, stderr, code } = await waybill(['config'])
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    expect(stdout).toContain(`file: ${join(cwd, 'waybill.config.ts')}`)
    expect(stdout).toContain('url: postgres://db/shop')
    expect(stdout).toMatch(/secrets:\n\s+- \[redacted\]/)
    expect(stdout).toContain('warning: destinations.spare: no route names it')
    expect(stdout).not.toMatch(/hunter2|aHVudGVy/)
  })

  it('prints one JSON value for programs', async () => {
    const { stdout, code } = await waybill(['config', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      file: join(cwd, 'waybill.config.ts'),
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      config: { destinations: [{ name: 'crm', settings: { secrets: ['[redacted]'] } }, { name: 'spare' }] },
      warnings: [{ path: 'destinations.spare' }],
    })
    expect(stdout).not.toMatch(/hunter2|aHVudGVy/)
  })

  it('lists every problem and exits with 1', async () => {
    const people = await waybill(['--config', 'bad.json', 'config'])
    expect(people).toMatchObject({ stdout: '', code: 1 })
    expect(people.stderr).toMatch(/^waybill: the configuration is not valid \(3 problems\):\n {2}retention: /)
    const programs = await waybill(['config', '--json', '--config', 'bad.json'])
    expect(programs).toMatchObject({ stdout: '', code: 1 })
    const { error } = JSON.parse(programs.stderr) as { error: { code: string; problems: { path: string }[] } }
    expect(error.code).toBe('WAYBILL_CONFIG_INVALID')
    expect(error.problems.map((problem) => problem.path)).toEqual(['retention', 'log.level', 'bogus'])
  })

  it('takes the database from --database-url', async () => {
    const { stdout } = await waybill(['config', '--json', '--database-url', 'postgres://given/other'])
    expect(JSON.parse(stdout)).toMatchObject({ config: { database: { url: 'postgres://given/other' } } })
  })

  it('says what it looked for when there is no configuration', async () => {
    const { stderr, code } = await waybill(['config', '--config', 'missing.ts'])
    expect(code).toBe(1)
    expect(stderr).toContain(`no configuration file at ${join(cwd, 'missing.ts')}`)
    expect(stderr).toContain('(WAYBILL_CONFIG_NOT_FOUND)')
  })

  it('is quiet when the reader of its output leaves', async () => {
    const env = { PATH: process.env['PATH'], ...environment }
    const child = spawn(process.execPath, ['--import', tsx, main, 'config'], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    const [stderr, code] = await Promise.all([text(child.stderr), exitCode(child)])
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  })
})
