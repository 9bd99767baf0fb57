import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { InputError, messageOf, WaybillError } from '../core/errors.js'
import * as define from './define.js'
import { type Environment, readVariable, Secret } from './destinations/secret.js'
import { configFileNames } from './file-names.js'
import { resolveConfig, type ResolvedConfig } from './resolve.js'

export interface LoadOptions {
  /** Path of the file, absolute or relative to `cwd`. Default: the variable `WAYBILL_CONFIG`, else `waybill.config.*` in `cwd`. */
  readonly file?: string | undefined
  /** Default: `process.env`. */
  readonly environment?: Environment | undefined
  /** Default: the working directory of the process. */
  readonly cwd?: string | undefined
  /** Takes the place of `database.url`, wherever that comes from; `directUrl` is then not used. */
  readonly databaseUrl?: string | undefined
}

/** A configuration as it was written, and the environment to read it against. */
export interface ConfigSource {
  readonly raw: unknown
  readonly environment: Environment
}

/**
 * Finds and reads a configuration file, and checks it. Without any file the environment alone is the configuration, if
 * it holds `WAYBILL_DATABASE_URL` (or `databaseUrl` is given).
 *
 * @throws WaybillError `WAYBILL_CONFIG_NOT_FOUND`: no such file, or none and no database URL; says what was looked for.
 * @throws InputError `WAYBILL_CONFIG_INVALID`: the file cannot be read or run, or what it says is wrong.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<ResolvedConfig> {
  const { raw, environment } = await readConfig(options)
  return resolveConfig(raw, environment)
}

/** The first half of `loadConfig`: finds and reads, and checks nothing that the file says. */
export async function readConfig(options: LoadOptions = {}): Promise<ConfigSource> {
  const environment = options.environment ?? process.env
  const file = findConfigFile(options, environment)
  if (file === undefined && !options.databaseUrl && readVariable(environment, 'WAYBILL_DATABASE_URL') === undefined) {
    const cwd = options.cwd ?? process.cwd()
    throw new WaybillError(
      'WAYBILL_CONFIG_NOT_FOUND',
      `no configuration: looked in ${cwd} for ${configFileNames.join(', ')}, and for the environment variables WAYBILL_CONFIG and WAYBILL_DATABASE_URL; make a waybill.config.ts or set one of them`,
    )
  }
  const raw = file === undefined ? {} : await readConfigFile(file)
  return { raw: withDatabaseUrl(raw, options.databaseUrl), environment }
}

/** The file that `loadConfig` reads; undefined when none is named and none lies in the directory. */
export function findConfigFile(
  options: Pick<LoadOptions, 'file' | 'cwd'>,
  environment: Environment,
): string | undefined {
  const cwd = options.cwd ?? process.cwd()
  const fromVariable = options.file ? undefined : readVariable(environment, 'WAYBILL_CONFIG')
  const named = options.file || fromVariable
  if (!named) return configFileNames.map((name) => join(cwd, name)).find((path) => existsSync(path))
  const path = isAbsolute(named) ? named : resolve(cwd, named)
  if (existsSync(path)) return path
  const source = fromVariable === undefined ? '' : ' (from WAYBILL_CONFIG)'
  throw new WaybillError('WAYBILL_CONFIG_NOT_FOUND', `no configuration file at ${path}${source}; check the path`)
}

/** What a configuration file says, unchecked: its default export, or the export named `config`. */
export async function readConfigFile(path: string): Promise<unknown> {
  if (path.endsWith('.json')) return parseJson(path, await readText(path))
  const exported = await runModule(path)
  const config = exported['default'] ?? exported['config']
  if (config === undefined) {
    throw invalidFile(
      path,
      'exports no configuration: write "export default defineConfig({ … })" or export it as "config"',
    )
  }
  if (typeof config === 'function' || config instanceof Promise) {
    throw invalidFile(path, 'must export the configuration itself, not a function or a promise')
  }
  return config
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw invalidFile(path, `cannot be read: ${messageOf(error)}`, error)
  }
}

function parseJson(path: string, text: string): unknown {
  try {
    // editors and shells of Windows put a byte-order mark before it
    return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown
  } catch (error) {
    // the parser's message quotes the text around the fault, and there may be a password in it
    throw invalidFile(path, `is not valid JSON (${faultPlace(messageOf(error), text.replace(/^\uFEFF/, ''))})`)
  }
}

/** `line 3, column 7`. Of the parser's message only the place is used. */
function faultPlace(message: string, text: string): string {
  const at = /at position (\d+)/.exec(message)?.[1]
  const before = at === undefined ? text : text.slice(0, Number(at))
  const lines = before.split('\n')
  const place = `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`
  return at === undefined ? `it ends too early: ${place}` : place
}

/**
 * jiti runs TypeScript on every supported Node, ESM or not. `waybill/config` is this very copy, so that a file that is
 * mounted into a container needs no node_modules beside it. Nothing is cached: a file may hold secrets.
 */
async function runModule(path: string): Promise<Module> {
  const source = await readText(path)
  const { createJiti } = await import('jiti')
  const jiti = createJiti(path, {
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
    virtualModules: { 'waybill/config': define },
  })
  try {
    // not `import`, which hands .mjs to Node: its module cache would give a changed file's old self
    const running = jiti.evalModule(source, { filename: path, async: true, forceTranspile: true }) as Promise<Module>
    const module = await Promise.race([running, tooLong()])
    if (module !== undefined) return module
  } catch (error) {
    throw invalidFile(path, `cannot be loaded: ${messageOf(error)}`, error)
  }
  const seconds = longestLoadMs / 1000
  throw invalidFile(path, `did not come to its end within ${seconds} s: something that it awaits does not settle`)
}

type Module = Record<string, unknown>

/** A file may ask a store of secrets; one that takes longer waits for what never comes. */
const longestLoadMs = 30_000

/** Keeps no process alive: where nothing else does, the file can't come to its end. */
function tooLong(): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(resolve, longestLoadMs, undefined).unref())
}

function withDatabaseUrl(raw: unknown, url: string | undefined): unknown {
  if (!url || typeof raw !== 'object' || raw === null) return raw
  const section = (raw as { database?: unknown }).database ?? {}
  if (typeof section !== 'object' || section === null) return raw
  return { ...raw, database: { ...section, url: new Secret(url), directUrl: new Secret(url) } }
}

function invalidFile(path: string, message: string, cause?: unknown): InputError {
  const options = cause === undefined ? undefined : { cause }
  return new InputError('WAYBILL_CONFIG_INVALID', 'the configuration file is not usable:', [{ path, message }], options)
}
