import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { logged } from './publish-fixture.js'

const root = join(import.meta.dirname, '../..')
const database = useDatabase()
const blocks = async (language: string): Promise<string[]> => {
  const text = await readFile(join(root, 'docs/publishing.md'), 'utf8')
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, of]) => of === language)
    .map(([, , code]) => code ?? '')
}

it('the code in docs/publishing.md compiles', async () => {
  const files = new Map((await blocks('ts')).map((code, i) => [join(root, `docs/publishing-${i}.ts`), code]))
  expect(files.size).toBeGreaterThanOrEqual(5)
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: { compilerOptions: object }
  }
  const { options } = ts.convertCompilerOptionsFromJson(
    { ...config.compilerOptions, paths: { waybill: ['./src/index.ts'] } },
    root,
  )
  const host = ts.createCompilerHost(options)
  const disk = ts.createCompilerHost(options)
  host.fileExists = (path) => files.has(path) || disk.fileExists(path)
  host.readFile = (path) => files.get(path) ?? disk.readFile(path)
  host.getSourceFile = (path, target) => {
    const code = files.get(path)
    return code === undefined ? disk.getSourceFile(path, target) : ts.createSourceFile(path, code, target)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const errors = ts.getPreEmitDiagnostics(program).filter(({ file }) => file === undefined || files.has(file.fileName))
  expect(ts.formatDiagnostics(errors, { ...host, getNewLine: () => '\n' })).toBe('')
}, 120_000)

it('the SQL in docs/publishing.md publishes', async () => {
  for (const sql of await blocks('sql')) await database().pool.query(sql)
  expect(await logged(database(), 'order.created')).toMatchObject([
    { key: 'o1', payload: '{"id":"o1"}', headers: '{"tenant":"acme"}' },
  ])
})
