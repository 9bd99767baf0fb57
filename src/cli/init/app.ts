import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AppFolder } from './app-folder.js'
import {
  destinationsAmong,
  frameworkAmong,
  testRunnerAmong,
  type DestinationKind,
  type Framework,
  type TestRunner,
} from './detect.js'
import { isObject, parseObject } from './json-text.js'
import { packageManagerOf, type PackageManager } from './package-manager.js'
import { prismaFacts, type PrismaFacts } from './prisma-client.js'
import { refuse } from './refusal.js'
import { stacksAmong, type StackName } from './stacks.js'
import { compilerFacts, type CompilerFacts } from './tsconfig.js'

/** What there is to know of an application before something is written into it. */
export interface App {
  readonly packageManager: PackageManager
  readonly language: 'typescript' | 'javascript'
  readonly modules: 'esm' | 'commonjs'
  readonly framework: Framework
  /** Data layers that were found; none is possible. */
  readonly stacks: readonly StackName[]
  readonly testRunner: TestRunner
  readonly destinations: readonly DestinationKind[]
  /** Names of all packages that package.json asks for. */
  readonly packages: ReadonlySet<string>
  /** A zod that is a Standard Schema. */
  readonly hasZod: boolean
  readonly compiler: CompilerFacts
  readonly prisma: PrismaFacts
  /** Folder for what init writes, from the root: `src/outbox` or `outbox`. */
  readonly folder: string
}

/**
 * Looks at the application in a folder, and changes nothing.
 * @throws InputError `WAYBILL_INIT_REFUSED`: it is no package, its package.json can't be read, or it is the root of a
 *   workspace
 */
export async function inspectApp(folder: AppFolder): Promise<App> {
  const file = await folder.read('package.json')
  if (file === null) {
    throw refuse(folder.root, 'has no package.json; run it in the folder of your app, or name that with --dir')
  }
  const packageJson = parseObject('package.json', file.text, { comments: false })
  const { root } = folder
  refuseWorkspaceRoot(root, packageJson)
  const packages = packagesOf(packageJson)
  const isModule = packageJson['type'] === 'module'
  return {
    packageManager: packageManagerOf(root, packageJson['packageManager']),
    language: existsSync(join(root, 'tsconfig.json')) || packages.has('typescript') ? 'typescript' : 'javascript',
    modules: isModule ? 'esm' : 'commonjs',
    framework: frameworkAmong(packages),
    stacks: stacksAmong(packages),
    testRunner: testRunnerAmong(packages),
    destinations: destinationsAmong(packages),
    packages,
    hasZod: packages.has('zod') && isStandardSchema(root),
    compiler: compilerFacts(root, isModule),
    prisma: prismaFacts(root, packageJson),
    folder: existsSync(join(root, 'src')) ? 'src/outbox' : 'outbox',
  }
}

function refuseWorkspaceRoot(root: string, packageJson: Readonly<Record<string, unknown>>): void {
  const pnpm = join(root, 'pnpm-workspace.yaml')
  // pnpm keeps settings of a single package in that file, too
  const hasPackages = existsSync(pnpm) && /^packages\s*:/m.test(readFileSync(pnpm, 'utf8'))
  const file = packageJson['workspaces'] === undefined ? hasPackages && 'pnpm-workspace.yaml' : 'package.json'
  if (!file) return
  throw refuse(file, 'is the root of a workspace; name the package that publishes, such as --dir packages/api')
}

function packagesOf(packageJson: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const sections = ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']
  return new Set(
    sections.flatMap((section) => {
      const list = packageJson[section]
      return isObject(list) ? Object.keys(list) : []
    }),
  )
}

/** Zod is one from 3.24 on. One that is not installed yet will be a newer one. */
function isStandardSchema(root: string): boolean {
  try {
    const path = createRequire(join(root, 'package.json')).resolve('zod/package.json')
    const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string }
    const [major = 0, minor = 0] = version.split('.').map(Number)
    return major > 3 || (major === 3 && minor >= 24)
  } catch {
    return true
  }
}
