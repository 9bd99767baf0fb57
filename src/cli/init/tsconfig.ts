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
  /** A setting with which the compiler refuses to import what Waybill has as ES modules only. */
  readonly refusesEsModules: string | undefined
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
    refusesEsModules: isModule ? undefined : refusesEsModules(options),
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

// In CommonJS, before TypeScript knew that Node.js can require ES modules.
function refusesEsModules({ module, moduleResolution }: Json): string | undefined {
  const written = Object.entries({ module, moduleResolution }).find(
    ([, value]) => typeof value === 'string' && ['node16', 'node18'].includes(value.toLowerCase()),
  )
  return written && `"${written[0]}": "${String(written[1]).toLowerCase()}"`
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
