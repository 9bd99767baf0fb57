import type { Dirent } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { type ExitCode, runCli } from '../../src/cli/command.js'
import { commands } from '../../src/cli/commands/index.js'
import { loadConfig } from '../../src/config/index.js'
import { cli, errorOf } from '../integration/cli-fixture.js'
import { onFileEnd } from '../support/cleanup.js'
import { waitFor } from '../support/wait-for.js'

type Files = Readonly<Record<string, string>>

const packageJson = (...packages: string[]): string =>
  JSON.stringify({ name: 'app', dependencies: Object.fromEntries(packages.map((name) => [name, '*'])) }, null, 2)

async function folderWith(files: Files): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-init-'))
  onFileEnd(() => rm(folder, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  return folder
}

/** Every file below a folder, with its text. */
async function contents(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const pathOf = (entry: Dirent): string => join(entry.parentPath, entry.name)
  // newer versions of Node.js go through links to folders
  const links = entries.filter((entry) => entry.isSymbolicLink()).map((entry) => pathOf(entry) + sep)
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(pathOf)
    .filter((path) => !links.some((link) => path.startsWith(link)))
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  return Object.fromEntries(paths.map((path, index) => [path.slice(folder.length + 1), texts[index] ?? '']))
}

interface Plan {
  readonly detected: Record<string, unknown>
  readonly stack: string
  readonly files: readonly { path: string; action: string; reason: string | null; diff: string | null }[]
  readonly written: boolean
  readonly notes: readonly string[]
  readonly next: readonly string[]
}

async function plan(files: Files, ...options: string[]): Promise<Plan> {
  const { stdout, stderr } = await cli(['init', '--json', '--dry-run', ...options], { cwd: await folderWith(files) })
  expect(stderr).toBe('')
  return JSON.parse(stdout) as Plan
}

const paths = ({ files }: Plan): string[] => files.map(({ path }) => path)
const diffOf = ({ files }: Plan, path: string): string => files.find((file) => file.path === path)?.diff ?? ''

describe('waybill init, looking at an app', () => {
  it.each([
    ['npm', { 'package-lock.json': '' }],
    ['pnpm', { 'pnpm-lock.yaml': '' }],
    ['yarn', { 'yarn.lock': '' }],
    ['bun', { 'bun.lock': '' }],
  ])('knows %s by its lock file', async (packageManager, lock) => {
    const { detected, next } = await plan({ 'package.json': packageJson('pg'), ...lock })
    expect(detected).toMatchObject({ packageManager })
    expect(next[0]).toBe(`${packageManager} ${packageManager === 'npm' ? 'install' : 'add'} waybill`)
  })

  it('believes the field packageManager before a lock file, and looks for that above a package of a workspace', async () => {
    const root = await folderWith({
      'package.json': '{ "workspaces": ["packages/*"] }',
      'pnpm-lock.yaml': '',
      'packages/api/package.json': packageJson('pg'),
      'packages/web/package.json': '{ "packageManager": "yarn@4.9.2+sha224.ab" }',
    })
    const managers = ['api', 'web'].map(async (name) => {
      const { stdout } = await cli(['init', '--json', '--dry-run', '--dir', `packages/${name}`], { cwd: root })
      return (JSON.parse(stdout) as Plan).detected['packageManager']
    })
    expect(await Promise.all(managers)).toEqual(['pnpm', 'yarn'])
  })

  it.each([
    ['nestjs', 'prisma', ['@nestjs/common', 'express', '@prisma/client', '@prisma/adapter-pg', 'pg']],
    ['fastify', 'kysely', ['fastify', 'kysely', 'pg']],
    ['express', 'typeorm', ['express', 'typeorm', 'pg']],
    ['hono', 'postgres', ['hono', 'postgres']],
    ['none', 'mikro-orm', ['@mikro-orm/core', '@mikro-orm/postgresql']],
    ['none', 'pg', []],
  ])('finds %s and %s', async (framework, stack, packages) => {
    const found = await plan({ 'package.json': packageJson(...packages) })
    expect(found).toMatchObject({ stack, detected: { framework } })
    expect(found.notes.some((note) => note.includes('no data layer was found'))).toBe(packages.length === 0)
  })

  it('finds language, modules, test runner and brokers', async () => {
    const plain = await plan({ 'package.json': packageJson('pg', 'jest') })
    expect(plain.detected).toMatchObject({ language: 'javascript', modules: 'commonjs', testRunner: 'jest' })
    expect(plain.detected).toMatchObject({ destinations: ['jobs'] })
    const typed = await plan({
      'package.json': '{"type":"module","devDependencies":{"typescript":"6","vitest":"4","amqplib":"2","kafkajs":"2"}}',
    })
    expect(typed.detected).toMatchObject({ language: 'typescript', modules: 'esm', testRunner: 'vitest' })
    expect(typed.detected).toMatchObject({ destinations: ['rabbitmq', 'kafka'] })
    expect(diffOf(typed, '.env.example')).toMatch(/AMQP_URL=amqp:[^]*KAFKA_BROKERS=/)
  })

  it('names modules as the compiler of the app wants them', async () => {
    const of = async (app: string, compilerOptions: object): Promise<string> => {
      const files = { 'package.json': app, 'tsconfig.json': `// one's own\n${JSON.stringify({ compilerOptions })}` }
      return /from '(.+topics.*)'/.exec(diffOf(await plan(files), 'outbox/queue.ts'))?.[1] ?? ''
    }
    expect(await of('{ "type": "module" }', { module: 'nodenext' })).toBe('./topics.js')
    expect(await of('{}', { module: 'nodenext' })).toBe('./topics')
    expect(await of('{ "type": "module" }', { allowImportingTsExtensions: true })).toBe('./topics.ts')
  })

  it('keeps the configuration out of a compilation that would move all output', async () => {
    const files = { 'package.json': packageJson('pg'), 'src/main.ts': '' }
    const names = async (tsconfigs: Files): Promise<string | undefined> =>
      paths(await plan({ ...files, ...tsconfigs }))[0]
    const nest = { compilerOptions: { module: 'nodenext', outDir: 'dist' } }
    const all = { 'tsconfig.json': JSON.stringify(nest) }
    expect(await names(all)).toBe('waybill.config.mjs')
    const build = { extends: './tsconfig.json', include: ['src'] }
    const noEmit = JSON.stringify({ compilerOptions: { ...nest.compilerOptions, noEmit: true } })
    expect(await names({ 'tsconfig.json': noEmit, 'tsconfig.build.json': JSON.stringify(build) })).toBe(
      'waybill.config.ts',
    )
    expect(await names({ 'tsconfig.json': JSON.stringify({ ...nest, include: ['src/**/*'] }) })).toBe(
      'waybill.config.ts',
    )
    expect((await plan({ ...files, ...all })).notes.join()).toContain('waybill.config.mjs')
  })

  it('says when TypeScript is set so that it refuses what Waybill has as ES modules only', async () => {
    const notes = async (type: object, compilerOptions: object): Promise<string> => {
      const base = { 'base.json': JSON.stringify({ compilerOptions }), 'package.json': JSON.stringify(type) }
      return (await plan({ ...base, 'tsconfig.json': '{ "extends": "./base.json", }' })).notes.join()
    }
    expect(await notes({}, { module: 'node16' })).toContain('"module": "node16"')
    expect(await notes({}, { moduleResolution: 'Node16' })).toContain('"moduleResolution": "node16"')
    expect(await notes({ type: 'module' }, { module: 'node16' })).not.toContain('tsconfig')
    for (const fit of [{ module: 'CommonJS' }, { moduleResolution: 'node' }, { module: 'preserve' }])
      expect(await notes({}, fit)).not.toContain('tsconfig')
  })

  it('finds the client that Prisma generates, and a schema that takes Waybill in', async () => {
    const schema = (generator: string, more = ''): string =>
      `generator client {\n${generator}\n}\ndatasource db {\n  provider = "postgresql"\n${more}\n}`
    const imported = async (files: Files): Promise<string | undefined> => {
      const app = { 'package.json': packageJson('@prisma/client'), 'tsconfig.json': '{}', 'src/a.ts': '' }
      return /PrismaClient \} from '(.+)'/.exec(
        diffOf(await plan({ ...app, ...files }), 'src/outbox/create-order.ts'),
      )?.[1]
    }
    const newer = '  provider = "prisma-client"\n  output = "../src/generated/prisma"'
    const older = '  provider = "prisma-client-js"'
    expect(await imported({ 'prisma/schema.prisma': schema(newer) })).toBe('../generated/prisma/client')
    expect(await imported({ 'prisma/schema/main.prisma': schema(newer) })).toBe(
      '../../prisma/src/generated/prisma/client',
    )
    expect(await imported({ 'prisma/schema.prisma': schema(older) })).toBe('@prisma/client')
    expect(await imported({ 'schema.prisma': schema(`${older}\n  output = "./db"`) })).toBe('../../db/index')
    const app = { 'package.json': packageJson('@prisma/client') }
    const shared = await plan({ ...app, 'schema.prisma': schema(older, '  schemas = ["public", "waybill"]') })
    expect(shared.notes.join()).toContain('take "waybill" out of `schemas`')
    const apart = await plan({ ...app, 'schema.prisma': schema(older) })
    expect(apart.notes.join()).toContain('leave it out of `schemas`')
  })

  it('wants to be told which of several data layers writes', async () => {
    const cwd = await folderWith({ 'package.json': packageJson('knex', '@prisma/client', 'pg') })
    const result = await cli(['init', '--yes', '--json'], { cwd })
    expect({ code: result.code, error: errorOf(result) }).toEqual({
      code: 2,
      error: { code: 'WAYBILL_USAGE', message: 'the app has prisma, knex: say with --stack which one writes its data' },
    })
    expect(Object.keys(await contents(cwd))).toEqual(['package.json'])
    expect((await cli(['init', '--yes', '--stack', 'knex'], { cwd })).code).toBe(0)
    expect((await contents(cwd))['outbox/create-order.js']).toContain('knex.transaction')
  })
})

describe('waybill init, writing', () => {
  const tabs =
    '{\r\n\t"name": "app",\r\n\t"scripts": {\r\n\t\t"z": "1",\r\n\t\t"a": "2"\r\n\t},\r\n\t"files": [ "a",  "b" ],\r\n\t"dependencies": {\r\n\t\t"pg": "8"\r\n\t}\r\n}'

  it('adds to package.json and .env.example, and changes nothing else in them', async () => {
    const env = 'DATABASE_URL=postgres://db\r\nLAST=1'
    const cwd = await folderWith({ 'package.json': tabs, '.env.example': env, '.env': 'SECRET=hunter2' })
    await chmod(join(cwd, 'package.json'), 0o640)
    const { code, stdout } = await cli(['init', '--yes'], { cwd })
    expect(code).toBe(0)
    expect(stdout).not.toContain('hunter2')
    const after = await contents(cwd)
    const added = [`,\r\n\t\t"waybill:migrate": "waybill migrate"`, `,\r\n\t\t"waybill:dispatch": "waybill dispatch"`]
    expect(added.reduce((left, line) => left.replace(line, ''), after['package.json'] ?? '')).toBe(tabs)
    expect(after['package.json']?.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
    expect(JSON.parse(after['package.json'] ?? '')).toMatchObject({
      scripts: { z: '1', a: '2', 'waybill:migrate': 'waybill migrate', 'waybill:dispatch': 'waybill dispatch' },
    })
    expect(after['.env.example']).toBe(
      `${env}\r\n\r\n# Waybill\r\nWAYBILL_DATABASE_URL=postgres://postgres@localhost:5432/app\r\n`,
    )
    expect(after['.env']).toBe('SECRET=hunter2')
  })

  it('changes nothing the second time', async () => {
    const cwd = await folderWith({ 'package.json': tabs, 'src/a.js': '' })
    await cli(['init', '--yes'], { cwd })
    const first = await contents(cwd)
    expect(Object.keys(first).sort()).toEqual([
      ...['.env.example', 'package.json', 'src/a.js', 'src/outbox/create-order.js', 'src/outbox/queue.js'],
      ...['src/outbox/topics.js', 'waybill.config.mjs'],
    ])
    const again = await cli(['init', '--yes'], { cwd })
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing to do') as string })
    expect(await contents(cwd)).toEqual(first)
    expect((await cli(['init'], { cwd })).code).toBe(0)
  })

  it('keeps what is there, and says so', async () => {
    const own = {
      'package.json': '{"scripts":{"waybill:migrate":"make db","waybill:dispatch":"waybill dispatch"}}',
      'waybill.config.json': '{}',
      'outbox/queue.js': '// mine',
      '.env.example': '# WAYBILL_DATABASE_URL=',
    }
    const cwd = await folderWith(own)
    const { stdout } = await cli(['init', '--yes'], { cwd })
    expect(await contents(cwd)).toMatchObject(own)
    expect(stdout).toContain('skip waybill.config.json: is there already, with a text of your own: it is kept')
    expect(stdout).toContain('skip outbox/queue.js: is there already')
    expect(stdout).toContain('skip package.json: keeps its own waybill:migrate')
    expect(Object.keys(await contents(cwd))).not.toContain('waybill.config.mjs')
  })

  it('writes only what it was told to', async () => {
    const files = { 'package.json': packageJson('pg') }
    const cwd = await folderWith(files)
    const silent = await cli(['init', '--json'], { cwd })
    expect(silent.code).toBe(1)
    expect(JSON.parse(silent.stdout)).toMatchObject({ written: false })
    expect(await cli(['init'], { cwd })).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /\n\+\+\+ b\/outbox\/queue.js\n[^]*nothing was changed; say --yes to write it\n$/,
      ) as string,
    })
    expect((await cli(['init', '--dry-run', '--yes'], { cwd })).code).toBe(0)
    expect(await contents(cwd)).toEqual(files)
    const done = await cli(['init', '--json', '--yes'], { cwd })
    expect(JSON.parse(done.stdout)).toMatchObject({ written: true })
    expect(Object.keys(await contents(cwd))).toContain('outbox/queue.js')
  })

  it.each(['jobs', 'webhook', 'rabbitmq', 'kafka', 'rabbitmq-kafka'])(
    'writes a configuration for %s that loads',
    async (kinds) => {
      const packages = kinds === 'rabbitmq-kafka' ? ['amqplib', 'kafkajs'] : []
      const cwd = await folderWith({ 'package.json': packageJson(...packages), 'tsconfig.json': '{}' })
      const told = packages.length > 0 ? [] : ['--destination', kinds]
      expect((await cli(['init', '--yes', ...told], { cwd })).code).toBe(0)
      const example = (await contents(cwd))['.env.example'] ?? ''
      const environment = Object.fromEntries(example.split('\n').map((line) => line.split('=') as [string, string]))
      if (kinds === 'webhook') environment['PARTNER_WEBHOOK_SECRET'] = `whsec_${Buffer.alloc(24).toString('base64')}`
      const config = await loadConfig({ cwd, environment })
      expect(config.destinations.map(({ kind }) => kind)).toEqual(kinds.split('-'))
      expect(config.warnings).toEqual([])
    },
  )
})

/** A run on a terminal: `answers` are typed one by one, each when it is asked for. An answer may do something first. */
async function onTerminal(cwd: string, ...answers: (string | null | (() => Promise<string>))[]) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  const stdout = Object.assign(new PassThrough(), { isTTY: true })
  const stderr = new PassThrough()
  let asked = ''
  stderr.on('data', (chunk: Buffer) => (asked += chunk.toString()))
  const { signal } = new AbortController()
  const [printed, ended] = [
    text(stdout),
    runCli(['init'], { stdin, stdout, stderr, env: {}, cwd, signal, urgent: signal }, commands),
  ]
  for (const [index, answer] of answers.entries()) {
    await waitFor(() => asked.split('? ').length > index + 1, { what: 'a question' })
    const typed = typeof answer === 'function' ? await answer() : answer
    if (typed === null) stdin.end()
    else stdin.write(`${typed}\n`)
  }
  const code: ExitCode = await ended
  stdout.end()
  return { code, stdout: await printed, stderr: asked }
}

describe('waybill init, on a terminal', () => {
  it.each([
    ['y', 0],
    ['n', 1],
    ['', 1],
    [null, 1],
  ])('asks after the diff, and does what is answered: %j', async (answer, code) => {
    const cwd = await folderWith({ 'package.json': packageJson('pg') })
    const run = await onTerminal(cwd, answer)
    expect(run.code).toBe(code)
    expect(run.stderr).toContain('write 6 files? [y/N]')
    expect(run.stdout).toContain('+++ b/outbox/create-order.js')
    expect(Object.keys(await contents(cwd))).toHaveLength(code === 0 ? 6 : 1)
  })

  it('asks which data layer writes', async () => {
    const cwd = await folderWith({ 'package.json': packageJson('knex', 'kysely') })
    expect((await onTerminal(cwd, 'kysely', 'y')).code).toBe(0)
    expect((await contents(cwd))['outbox/create-order.js']).toContain('db.transaction()')
    expect((await onTerminal(cwd, 'neither')).code).toBe(2)
  })

  it.each([
    ['package.json', packageJson('pg', 'left-pad')],
    ['outbox/queue.js', '// somebody else was faster'],
  ])('writes nothing when %s changes while it asks', async (path, changed) => {
    const cwd = await folderWith({ 'package.json': packageJson('pg'), 'outbox/a.js': '' })
    const run = await onTerminal(cwd, async () => {
      await writeFile(join(cwd, path), changed)
      return 'y'
    })
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(new RegExp(`${path} is no longer what was shown.*\\(WAYBILL_INIT_CHANGED\\)`))
    const expected = { 'package.json': packageJson('pg'), 'outbox/a.js': '', [path]: changed }
    expect(await contents(cwd)).toEqual(expected)
  })
})

describe('waybill init, where it can not work', () => {
  it.each<[string, Files, string, string]>([
    ['no package', { 'a.txt': '' }, 'waybill-init-', 'has no package.json'],
    ['broken JSON', { 'package.json': '{\n  "name": "app",\n  "a": nope\n}' }, 'package.json:3:8', 'is not valid JSON'],
    ['a comment', { 'package.json': '{ // mine\n}' }, 'package.json:1:3', 'is not valid JSON'],
    ['a list', { 'package.json': '[]' }, 'package.json', 'must hold a JSON object'],
    ['other scripts', { 'package.json': '{"scripts":[]}' }, 'package.json, scripts', 'must be an object'],
    ['workspaces', { 'package.json': '{"workspaces":["a"]}' }, 'package.json', '--dir packages/api'],
    [
      'a workspace of pnpm',
      { 'package.json': '{}', 'pnpm-workspace.yaml': 'packages:\n  - a\n' },
      'pnpm-workspace.yaml',
      'is the root of a workspace',
    ],
    ['a broken tsconfig', { 'package.json': '{}', 'tsconfig.json': '{' }, 'tsconfig.json:1:2', 'is not valid JSON'],
  ])('says so: %s', async (_what, files, path, message) => {
    const cwd = await folderWith(files)
    const result = await cli(['init', '--yes', '--json'], { cwd })
    expect(result).toMatchObject({ code: 1, stdout: '' })
    const { code, problems } = errorOf(result)
    expect(code).toBe('WAYBILL_INIT_REFUSED')
    expect(problems).toEqual([
      { path: expect.stringContaining(path) as string, message: expect.stringContaining(message) as string },
    ])
    expect(await contents(cwd)).toEqual(files)
  })

  it('takes settings of pnpm for no workspace, and a byte order mark for nothing', async () => {
    const cwd = await folderWith({
      'package.json': '\uFEFF{}',
      'pnpm-workspace.yaml': 'onlyBuiltDependencies:\n  - x\n',
    })
    expect((await cli(['init', '--yes'], { cwd })).code).toBe(0)
    expect((await contents(cwd))['package.json']).toMatch(/^\uFEFF\{\n/)
  })

  it('names a folder that is not there', async () => {
    const result = await cli(['init', '--json', '--dir', 'nowhere'], { cwd: tmpdir() })
    expect(errorOf(result)).toMatchObject({
      code: 'WAYBILL_INIT_REFUSED',
      problems: [{ path: join(tmpdir(), 'nowhere') }],
    })
  })

  it.each(['src', 'src/outbox'])('writes nothing through a link that leads out of the folder: %s', async (link) => {
    const outside = await folderWith({ 'a.txt': '' })
    const files = { 'package.json': packageJson('pg'), ...(link === 'src' ? {} : { 'src/a.js': '' }) }
    const cwd = await folderWith(files)
    await symlink(outside, join(cwd, link))
    const result = await cli(['init', '--yes', '--json'], { cwd })
    expect(errorOf(result).problems).toEqual([
      { path: link, message: expect.stringContaining('leads out of') as string },
    ])
    expect(await contents(outside)).toEqual({ 'a.txt': '' })
    expect(await contents(cwd)).toEqual(files)
  })

  it('follows a link within the folder, and edits none', async () => {
    const cwd = await folderWith({ 'package.json': packageJson('pg'), 'code/a.js': '' })
    await symlink('code', join(cwd, 'src'))
    expect((await cli(['init', '--yes'], { cwd })).code).toBe(0)
    expect(Object.keys(await contents(cwd))).toContain('code/outbox/queue.js')

    const outside = await folderWith({ 'package.json': packageJson('pg') })
    const linked = await folderWith({})
    await symlink(join(outside, 'package.json'), join(linked, 'package.json'))
    const result = await cli(['init', '--yes', '--json'], { cwd: linked })
    expect(errorOf(result).problems).toEqual([
      { path: 'package.json', message: expect.stringContaining('is a symbolic link') as string },
    ])
    expect(await contents(outside)).toEqual({ 'package.json': packageJson('pg') })
  })

  it('says that it may not write', async () => {
    const files = { 'package.json': packageJson('pg') }
    const cwd = await folderWith(files)
    await chmod(cwd, 0o555)
    // nobody is root to whom a folder is not writable
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65534)
    const result = await cli(['init', '--yes', '--json'], { cwd }).finally(() => isRoot && process.seteuid?.(0))
    await chmod(cwd, 0o755)
    expect(result.code).toBe(1)
    expect(errorOf(result)).toMatchObject({ code: 'WAYBILL_INIT_REFUSED' })
    expect(errorOf(result).problems?.[0]?.message).toContain("can't be written to (EACCES)")
    expect(await contents(cwd)).toEqual(files)
  })
})
