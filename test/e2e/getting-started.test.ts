import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { spawnChild } from '../support/children.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { blocksOf } from '../support/docs-code.js'
import { ensureBuilt, root } from './built.js'
import { compile, fixtureApps } from './init-fixture.js'

const page = await readFile(join(root, 'docs/getting-started.md'), 'utf8')
const commands = (await blocksOf('getting-started.md', 'sh')).flatMap((block) => block.trim().split('\n'))
const [program = ''] = await blocksOf('getting-started.md', 'ts')
const waybill = join(root, 'dist/cli/main.js')
let app: string
let directory: string
let database: TestDatabase

beforeAll(async () => {
  await ensureBuilt()
  const apps = await fixtureApps()
  directory = apps.directory
  app = await apps.make({ name: 'app', language: 'typescript', modules: 'esm', packages: ['pg', 'zod'], empty: true })
  database = await createTestDatabase({ empty: true })
}, 300_000)

async function run(script: string, args: readonly string[]): Promise<string> {
  const child = spawnChild(script, { args, cwd: app, env: { WAYBILL_DATABASE_URL: database.url } })
  const { code } = await child.exited
  expect(code, child.output()).toBe(0)
  return child.output()
}

/** What a reader types, as this test can run it: without a terminal and without a package registry. */
async function type(command: string, messageId: string): Promise<string> {
  const [tool = '', ...words] = command.split(' ')
  if (tool === 'export') return ''
  if (tool === 'npm') {
    const { scripts } = JSON.parse(await readFile(join(app, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    return type(`npx ${scripts[words[1] ?? ''] ?? 'no such script'}`, messageId)
  }
  const [name, ...args] = words.map((word) => (word === 'ID' ? messageId : word))
  if (name === 'tsx') return run(join(app, args[0] ?? ''), args.slice(1))
  expect([tool, name]).toEqual(['npx', 'waybill'])
  return run(waybill, args[0] === 'init' ? [...args, '--yes'] : args)
}

it('leads from an app to a delivered message', async () => {
  expect(commands.length).toBeGreaterThan(5)
  let messageId = ''
  let last = ''
  for (const command of commands) {
    last = await type(command, messageId)
    if (command === 'npx waybill init') {
      const file = join(app, /^\/\/ (.+)/.exec(program)?.[1] ?? '')
      await writeFile(file, program)
      expect(compile(directory, [file])).toEqual([])
    }
    if (command.startsWith('npx tsx')) messageId = last.trim()
  }
  expect(messageId).toMatch(/^[0-9a-f-]{36}$/)
  expect(last).toMatch(/work +delivered/)
  const { rows } = await database.pool.query('select message_id, name from waybill.jobs')
  expect(rows).toEqual([{ message_id: messageId, name: 'order.created' }])
})

it('names the files that are written', () => {
  const table = page.split('| file | |')[1]?.split('\n\n')[0] ?? ''
  const files = [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, file = '']) => file)
  expect(files).toHaveLength(6)
  expect(files.filter((file) => !existsSync(join(app, file)))).toEqual([])
})
