import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

// A loader hook writes down every module that is loaded, of either system, in a process of its own.
const hooks = `
import { appendFileSync } from 'node:fs'
let log
export const initialize = (data) => { log = data.log }
export async function load(url, context, next) {
  appendFileSync(log, url + '\\n')
  return next(url, context)
}`
const register = (log: string, hooksUrl: string): string => `
import { register } from 'node:module'
register(${JSON.stringify(hooksUrl)}, { parentURL: import.meta.url, data: { log: ${JSON.stringify(log)} } })`

/** Packages (and files of ours) that `code` loads; Node's own modules are left out. */
async function loadedBy(code: string): Promise<{ packages: string[]; files: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-modules-'))
  try {
    const log = join(folder, 'log')
    await writeFile(join(folder, 'hooks.mjs'), hooks)
    await writeFile(join(folder, 'register.mjs'), register(log, pathToFileURL(join(folder, 'hooks.mjs')).href))
    const end = `\nconst { createRequire } = await import('node:module'); const { appendFileSync } = await import('node:fs')
for (const file of Object.keys(createRequire(import.meta.url).cache)) appendFileSync(${JSON.stringify(log)}, 'file://' + file + '\\n')`
    const args = [
      '--import',
      'tsx',
      '--import',
      join(folder, 'register.mjs'),
      '--input-type=module',
      '--eval',
      code + end,
    ]
    await promisify(execFile)(process.execPath, args, { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
    const urls = (await readFile(log, 'utf8')).split('\n').filter((url) => url.startsWith('file:'))
    const names = urls.map((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(url)?.[1])
    const own = urls.flatMap((url) => /\/(src\/[^?]+)/.exec(url.replace(/node_modules.*/, ''))?.[1] ?? [])
    // tsx and its compiler are how this test reads TypeScript
    const packages = names.filter((name) => name !== undefined && !/^(tsx|esbuild|get-tsconfig)$/.test(name))
    return { packages: [...new Set(packages as string[])].sort(), files: [...new Set(own)].sort() }
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('importing the package', () => {
  it('loads nothing but its own publishing code and uuid', async () => {
    const { packages, files } = await loadedBy(`await import('./src/index.ts')`)
    expect(packages).toEqual(['uuid'])
    expect(files).toContain('src/index.ts')
    expect(
      files.filter(
        (file) =>
          !/^src\/(index\.ts|core\/|queue-facade\/|transactions\/|outbox\/publish|config\/did-you-mean)/.test(file),
      ),
    ).toEqual([])
  })

  it('loads no package at all for the inbox', async () => {
    const { packages, files } = await loadedBy(`await import('./src/inbox/index.ts')`)
    expect(packages).toEqual([])
    expect(files.filter((file) => !/^src\/(inbox|core|transactions)\//.test(file))).toEqual([])
  })

  it('loads pg when a queue first needs a connection of its own', async () => {
    const use = `const { Queue } = await import('./src/index.ts')
const queue = new Queue({ connectionString: 'postgres://127.0.0.1:1/none' })`
    expect((await loadedBy(use)).packages).not.toContain('pg')
    const publish = `${use}\nawait queue.publish('a.b', 1, { tx: null }).catch(() => undefined)`
    expect((await loadedBy(publish)).packages).toContain('pg')
  })

  it('loads for waybill/fastify what publishing needs, and the dispatcher when one is asked for', async () => {
    const { packages, files } = await loadedBy(`await import('./src/fastify/index.ts')`)
    expect(packages).toEqual(['uuid'])
    expect(files).toContain('src/fastify/index.ts')
    const rest =
      /^src\/(fastify|core|queue-facade|transactions)\/|^src\/(outbox\/publish|config\/(did-you-mean|check-members))/
    expect(files.filter((file) => !rest.test(file))).toEqual([])

    const register = (options: string): string =>
      `const { default: Fastify } = await import('fastify')
const { waybillFastify } = await import('./src/fastify/index.ts')
await Fastify().register(waybillFastify, ${options})`
    expect((await loadedBy(register('{}'))).files).toEqual(files)
    const config = `{ database: { url: 'postgres://127.0.0.1:1/none' } }`
    const dispatching = await loadedBy(register(`{ dispatcher: { config: ${config} } }`))
    expect(dispatching.files).toContain('src/app/create-dispatcher.ts')
    for (const broker of ['amqplib', 'kafkajs']) expect(dispatching.packages).not.toContain(broker)
  })

  it.each(['index', 'express', 'fastify'])('loads no package for waybill/receiver, %s', async (entry) => {
    const { packages, files } = await loadedBy(`await import('./src/receiver/${entry}.ts')`)
    expect(packages).toEqual([])
    expect(files).toContain(`src/receiver/${entry}.ts`)
    expect(files.filter((file) => !/^src\/(receiver|core)\//.test(file))).toEqual([])
  })

  it('loads neither drivers nor the dispatcher for waybill init', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-modules-'))
    try {
      await writeFile(join(folder, 'package.json'), '{}')
      const { packages, files } =
        await loadedBy(`process.argv.push('waybill', 'init', '--dry-run', '--dir', ${JSON.stringify(folder)})
await import('./src/cli/main.ts')`)
      expect(packages).toEqual(['commander', 'diff', 'jsonc-parser'])
      expect(files).toContain('src/cli/init/plan.ts')
      expect(files.filter((file) => !/^src\/(cli|core|config\/file-names)/.test(file))).toEqual([])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('loads the dispatcher and the worker for waybill/nestjs where they are configured, and not before', async () => {
    const start = (options: string): string => `
const { Test } = await import('@nestjs/testing')
const { OnMessage, WaybillModule } = await import('./src/nestjs/index.ts')
class Mailer { send() {} }
OnMessage('a.b')(Mailer.prototype, 'send', Object.getOwnPropertyDescriptor(Mailer.prototype, 'send'))
const connectionString = 'postgres://127.0.0.1:1/none'
const imports = [WaybillModule.forRoot({ connectionString, ${options} })]
const testing = await Test.createTestingModule({ imports, providers: [Mailer] }).compile()
await testing.createNestApplication({ logger: false }).init().catch(() => undefined)`
    const ours =
      /^src\/(nestjs\/|index\.ts|core\/|queue-facade\/|transactions\/|outbox\/publish|config\/(did-you-mean|check-members)|jobs\/(handlers|worker-options)\.ts)/
    const heavy = ['pg', 'got', 'pino', 'amqplib', 'kafkajs', 'undici', 'zod', 'jiti']
    const publishing = await loadedBy(start(''))
    expect(publishing.files).toContain('src/nestjs/lifecycle.ts')
    expect(publishing.files.filter((file) => !ours.test(file) || /start-workers/.test(file))).toEqual([])
    expect(publishing.packages.filter((name) => heavy.includes(name))).toEqual([])
    expect((await loadedBy(start('worker: {}'))).files).toContain('src/jobs/worker.ts')
    const dispatching = await loadedBy(start('dispatcher: { config: {} }'))
    expect(dispatching.files).toContain('src/app/create-dispatcher.ts')
    expect(dispatching.files).not.toContain('src/jobs/worker.ts')
  })
})
