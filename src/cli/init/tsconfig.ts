import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { isObject, parseObject } from './json-text.js'

type Json = Readonly<Record<string, unknown>>

/** What matters of an application's tsconfig.json. */
export interface CompilerFacts {
  /** How modules of the application name each other: `'./queue.js'`, `'./queue'` or `'./queue.ts'`. */
  readonly extension: '.js' | '.ts' | ''
  /** A TypeScript file beside package.json would be compiled too, and move all other output into a folder `src`. */
  readonly compilesRootFiles: boolean
  /** How the compiler looks for packages, where it can't find Waybill in that way. */
  readonly unfitResolution: string | undefined
}

export function compilerFacts(root: string, isModule: boolean): CompilerFacts {
  const config = readTsconfig(join(root, 'tsconfig.json'))
  const options = optionsOf(config)
  const asWritten =
    options['allowImportingTsExtensions'] === true || options['rewriteRelativeImportExtensions'] === true
  return {
    extension: asWritten ? '.ts' : isModule ? '.js' : '',
    compilesRootFiles:
      existsSync(join(root, 'src')) &&
      ['tsconfig.json', 'tsconfig.build.json'].some((name) => emitsRootFiles(readTsconfig(join(root, name)))),
    unfitResolution: unfitResolution(options, isModule),
  }
}

function optionsOf(config: Json | undefined): Json {
  const options = config?.['compilerOptions']
  return isObject(options) ? options : {}
}

function emitsRootFiles(config: Json | undefined): boolean {
  if (config === undefined || optionsOf(config)['noEmit'] === true || 'files' in config) return false
  const patterns = (key: string): string[] => {
    const list = config[key]
    return Array.isArray(list) ? list.map((item) => String(item).replace(/^\.\//, '')) : []
  }
  const included = !('include' in config) || patterns('include').some((pattern) => /^(\*\*|\*|\.?$)/.test(pattern))
  const excluded = patterns('exclude').some((pattern) => /^(\*\*\/)?(waybill|\*)(\.config)?\.ts$/.test(pattern))
  return included && !excluded
}

// Waybill has `exports`, which node10 does not look at; and it is ESM, which CommonJS of node16 may not import.
function unfitResolution(options: Json, isModule: boolean): string | undefined {
  const written = (key: string): string | undefined => {
    const value = options[key]
    return typeof value === 'string' ? value.toLowerCase() : undefined
  }
  const [module, resolution] = [written('module'), written('moduleResolution')]
  if (resolution !== undefined && ['node', 'node10', 'classic'].includes(resolution)) {
    return `"moduleResolution": "${resolution}"`
  }
  const unfit = ['commonjs', ...(isModule ? [] : ['node16', 'node18'])]
  return module !== undefined && unfit.includes(module) && resolution === undefined
    ? `"module": "${module}"`
    : undefined
}

/** A configuration over those that it extends; undefined when there is none. One that can't be found counts as empty. */
function readTsconfig(path: string, seen: readonly string[] = []): Json | undefined {
  if (seen.includes(path) || !existsSync(path)) return undefined
  const own = parseObject(path, readFileSync(path, 'utf8'), { comments: true })
  const parents = [own['extends'] ?? []].flat().map((name) => {
    const parent = typeof name === 'string' ? extended(dirname(path), name) : undefined
    return parent === undefined ? undefined : readTsconfig(parent, [...seen, path])
  })
  const all = [...parents, own]
  const compilerOptions = Object.assign({}, ...all.map(optionsOf)) as Json
  return { ...(Object.assign({}, ...all) as Json), compilerOptions }
}

function extended(folder: string, name: string): string | undefined {
  if (name.startsWith('.') || name.startsWith('/')) {
    const path = resolve(folder, name)
    return existsSync(path) ? path : `${path}.json`
  }
  const { resolve: find } = createRequire(join(folder, 'tsconfig.json'))
  for (const candidate of [name, `${name}/tsconfig.json`, `${name}.json`]) {
    try {
      return find(candidate)
    } catch {
      // the next one
    }
  }
  return undefined
}
