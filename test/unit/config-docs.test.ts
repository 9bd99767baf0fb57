import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { loadConfig } from '../../src/config/index.js'
import { deliveryKeys } from '../../src/config/destinations/delivery.js'
import { destinationKinds } from '../../src/config/destinations/registry.js'
import { configSchema } from '../../src/config/schema.js'
import { variables } from '../../src/config/variables.js'

const root = new URL('../../', import.meta.url)
const page = await readFile(new URL('docs/configuration.md', root), 'utf8')
const blocks = [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({
  language,
  code,
}))

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'waybill-docs-'))
})
afterAll(() => rm(cwd, { recursive: true }))

/** Every secret that the page names has a value. */
const environment = new Proxy<Record<string, string>>(
  {},
  {
    getOwnPropertyDescriptor: (_target, name) => ({
      configurable: true,
      enumerable: true,
      value: valueOf(String(name)),
    }),
    get: (_target, name) => valueOf(String(name)),
  },
)
function valueOf(name: string): string | undefined {
  if (name === 'AMQP_URL') return 'amqp://a:b@mq'
  if (/^(WAYBILL_)?DATABASE_URL$/.test(name)) return 'postgres://db/shop'
  return name.startsWith('WAYBILL_') ? undefined : 'a-value'
}

/** What the compiler says of pieces of TypeScript that lie in this package's tests, one list for each. */
function compilerErrors(pieces: readonly string[]): string[][] {
  const files = new Map(pieces.map((code, index) => [new URL(`test/unit/page-block-${index}.ts`, root).pathname, code]))
  const read = ts.readConfigFile(new URL('tsconfig.json', root).pathname, (path) => ts.sys.readFile(path))
  const { compilerOptions } = read.config as { compilerOptions: object }
  const paths = { 'waybill/config': [new URL('src/config/index.ts', root).pathname] }
  const { options } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, noEmit: true, paths }, root.pathname)
  const disk = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => files.has(path) || disk.fileExists(path),
    getSourceFile: (path, ...rest) => {
      const code = files.get(path)
      if (code === undefined) return disk.getSourceFile(path, ...rest)
      // as a module by its imports, like every file of this package
      return ts.createSourceFile(path, code, {
        languageVersion: ts.ScriptTarget.ES2023,
        impliedNodeFormat: ts.ModuleKind.ESNext,
      })
    },
  }
  const program = ts.createProgram([...files.keys()], options, host)
  return [...files.keys()].map((name) => {
    const file = program.getSourceFile(name)
    const diagnostics = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
    return diagnostics.map((diagnostic) => ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'))
  })
}

describe('docs/configuration.md', () => {
  it('has blocks of TypeScript and of JSON only', () => {
    expect(new Set(blocks.map((block) => block.language))).toEqual(new Set(['ts', 'json']))
    expect(blocks.length).toBeGreaterThan(5)
  })

  it.each(blocks.map((block, index) => [index + 1, block] as const))(
    'block %i loads',
    async (index, { language, code }) => {
      const file = `block-${index}.${language}`
      await writeFile(join(cwd, file), code)
      const config = await loadConfig({ cwd, file, environment })
      expect(config.destinations.length).toBeGreaterThan(0)
      expect(config.warnings).toEqual([])
    },
  )

  it('has TypeScript that compiles', () => {
    const code = blocks.filter((block) => block.language === 'ts').map((block) => block.code)
    const wrong = code[0]?.replace("'**': 'lake'", "'**': 'lakes'") ?? ''
    const [ofWrong, ...errors] = compilerErrors([wrong, ...code])
    expect(errors).toEqual(code.map(() => []))
    expect(ofWrong?.join('\n')).toContain('lakes')
  })

  it('names every key, option and variable', () => {
    const unnamed = (names: readonly string[], text: string): string[] =>
      names.filter((name) => !text.includes(`\`${name}\``))
    expect(unnamed(keysOf(configSchema), page)).toEqual([])
    expect(unnamed(deliveryKeys, page)).toEqual([])
    expect(
      unnamed(
        variables.map((variable) => variable.name),
        page,
      ),
    ).toEqual([])
    for (const [kind, schema] of Object.entries(destinationKinds)) {
      const section = page.split(`### \`${kind}\``)[1]?.split('\n### ')[0] ?? ''
      expect({ kind, unnamed: unnamed(keysOf(schema), section) }).toEqual({ kind, unnamed: [] })
    }
  })
})

/** `database.url`, `log.level`, …: the keys of an object schema, those of sections with their section. */
function keysOf(schema: z.ZodType): string[] {
  if (!(schema instanceof z.ZodObject)) throw new Error('not an object schema')
  return Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([key, field]) => {
    const inner = field instanceof z.ZodPrefault ? field.unwrap() : field
    const isSection = schema === configSchema && inner instanceof z.ZodObject
    return isSection ? Object.keys(inner.shape).map((name) => `${key}.${name}`) : [key]
  })
}
