import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { cli } from '../integration/cli-fixture.js'
import { onFileEnd } from '../support/cleanup.js'
import { root } from './built.js'

export interface AppShape {
  /** Names its folder: one for each shape. */
  readonly name: string
  readonly language: 'typescript' | 'javascript'
  readonly modules: 'esm' | 'commonjs'
  readonly packages: readonly string[]
  /** Without what `waybill init` writes. */
  readonly empty?: boolean
}

export interface FixtureApps {
  /** A folder of apps that have this package, and what the package is tested with, in `node_modules`. */
  readonly directory: string
  /** Makes an app, runs `waybill init --yes` in it, and gives its folder. */
  make(shape: AppShape): Promise<string>
}

const execute = promisify(execFile)

export async function fixtureApps(): Promise<FixtureApps> {
  const directory = await mkdtemp(join(tmpdir(), 'waybill-init-'))
  onFileEnd(() => rm(directory, { recursive: true, force: true }))
  await mkdir(join(directory, 'node_modules'))
  for (const name of await readdir(join(root, 'node_modules'))) {
    await symlink(join(root, 'node_modules', name), join(directory, 'node_modules', name))
  }
  await symlink(root, join(directory, 'node_modules/waybill'))
  for (const format of ['esm', 'cjs'] as const) await generatePrisma(join(directory, format), format)

  return {
    directory,
    async make({ name, language, modules, packages, empty = false }) {
      const app = join(directory, name)
      await mkdir(join(app, 'src'), { recursive: true })
      const type = modules === 'esm' ? { type: 'module' } : {}
      const dependencies = Object.fromEntries(packages.map((wanted) => [wanted, '*']))
      await writeFile(join(app, 'package.json'), JSON.stringify({ name, ...type, dependencies }, null, 2))
      if (language === 'typescript') {
        await writeFile(
          join(app, 'tsconfig.json'),
          '{ "compilerOptions": { "module": "nodenext" }, "include": ["src"] }',
        )
      }
      if (packages.includes('@prisma/client')) {
        await cp(join(directory, modules === 'esm' ? 'esm' : 'cjs'), app, { recursive: true })
      }
      if (empty) return app
      const { code, stderr } = await cli(['init', '--yes'], { cwd: app })
      if (code !== 0) throw new Error(`waybill init in ${name}: ${stderr}`)
      return app
    },
  }
}

/** A schema with the orders of an app, and its client. Prisma's schema engine is not needed for that, only looked for. */
async function generatePrisma(app: string, format: 'esm' | 'cjs'): Promise<void> {
  await mkdir(join(app, 'prisma'), { recursive: true })
  const schema = join(app, 'prisma/schema.prisma')
  await writeFile(
    schema,
    `generator client {
  provider = "prisma-client"
  output = "../src/generated"
  moduleFormat = "${format}"
  importFileExtension = "js"
}
datasource db {
  provider = "postgresql"
}
model Order {
  id String @id
}`,
  )
  await execute(process.execPath, [join(root, 'node_modules/prisma/build/index.js'), 'generate', '--schema', schema], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
}

/** What the compiler says of files, as strict as it gets. TypeScript is written as JavaScript beside its source. */
export function compile(directory: string, files: readonly string[]): string[] {
  const javascript = files.some((file) => file.endsWith('js'))
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    noImplicitReturns: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    isolatedModules: true,
    skipLibCheck: true,
    allowJs: javascript,
    checkJs: javascript,
    noEmit: javascript,
    types: ['node'],
    typeRoots: [join(directory, 'node_modules/@types')],
  }
  const program = ts.createProgram(files, options)
  const errors = ts.getPreEmitDiagnostics(program)
  program.emit()
  const host = {
    getCurrentDirectory: () => directory,
    getCanonicalFileName: (name: string) => name,
    getNewLine: () => '\n',
  }
  return errors.map((error) => ts.formatDiagnostic(error, host))
}
