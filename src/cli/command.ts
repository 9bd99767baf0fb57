/**
 * The frame of the command line. A command is one file in `src/cli/commands/`:
 *
 *     export const register = defineCommand({
 *       name: 'deliveries list',                       // words make groups: `waybill deliveries list`
 *       summary: 'List what is not delivered',
 *       arguments: { destination: argument.optional('name of the destination') },
 *       options: { limit: option.number({ summary: 'rows at most', min: 1, max: 1000, default: 100 }) },
 *       async run(ctx, { destination }, { limit }) {   // typed and checked
 *         const pool = await ctx.schema()              // opened at the first call, closed when the command ends
 *         const rows = await listDeliveries(pool, { destination, limit })
 *         ctx.out.table(rows, columns)                 // a table, or JSON with --json
 *       },
 *     })
 *
 * and one line in the list of `commands/index.ts`. Rules:
 * - Results go through `ctx.out` to standard output, everything else to standard error, so that `--json` can be piped.
 * - Throw a `WaybillError` or `InputError`; the frame prints it (`waybill: …`, or `{"error": …}` with `--json`) and
 *   exits with 1. Usage errors exit with 2: options and arguments check themselves, throw `usageError` for the rest.
 *   A command that ran but found something amiss returns 1.
 * - Long-running commands end when `ctx.io.signal` aborts (SIGINT, SIGTERM, or the reader of standard output left).
 * - Import what needs drivers, schemas or adapters inside `run` (`await import(…)`): every call of the program loads every
 *   command, and most of them only to list it.
 * - Take environment, directory and streams from `ctx.io`, never from `process`; never call `process.exit`.
 */
import { Command, CommanderError } from 'commander'
import type { Readable, Writable } from 'node:stream'
import type pg from 'pg'
import type { ResolvedConfig } from '../config/index.js'
import type { ConfigSource } from '../config/load.js'
import type { Environment } from '../config/destinations/secret.js'
import type { SettingName, Settings } from '../config/settings.js'
import { codeOf, InputError, messageOf, WaybillError } from '../core/errors.js'
import { version } from '../core/version.js'
import { type ArgumentSpecs, type OptionSpecs, toArgument, toOption, type Values } from './options.js'
import { Output, printable, toJson } from './output.js'

export { argument, option } from './options.js'

/** 0: done. 1: failed, or found something amiss. 2: called wrongly. */
export type ExitCode = 0 | 1 | 2

/** The world outside, so that a test can be it. */
export interface CliIo {
  readonly stdout: Writable
  readonly stderr: Writable
  readonly stdin: Readable
  readonly env: Environment
  readonly cwd: string
  /** The first signal to stop. */
  readonly signal: AbortSignal
  /** The second: what is under way is not waited for. Where a command does not listen to it the process ends at once. */
  readonly urgent: AbortSignal
}

export interface CommandContext {
  readonly io: CliIo
  readonly out: Output
  /** Options that every command takes. */
  readonly globals: GlobalOptions
  /** Reads and checks the whole configuration: for what needs its destinations. The file is read once. */
  readonly loadConfig: () => Promise<ResolvedConfig>
  /** Some of it: what is wrong with the rest, such as a secret that is not there, is in nobody's way. */
  readonly loadSettings: <const Name extends SettingName>(names: readonly Name[]) => Promise<Settings<Name>>
  /**
   * Connections to the configured database, opened at the first call and closed when the command ends. Of the
   * configuration, only `database` is looked at. With `--database-url` and without `--config` no file is read: a broken or absent one is in nobody's way.
   */
  readonly pool: () => Promise<pg.Pool>
  /** The same past the pooler, where a direct URL is configured. */
  readonly directPool: () => Promise<pg.Pool>
  /** `pool`, once it is known that Waybill's schema is there. */
  readonly schema: () => Promise<pg.Pool>
  /** Something to do when the command ends, however it ends; the last one registered goes first. */
  readonly onEnd: (release: () => Promise<void> | void) => void
}

export interface GlobalOptions {
  readonly config?: string
  readonly json?: boolean
  readonly databaseUrl?: string
}

export interface CommandDefinition<Arguments extends ArgumentSpecs, Options extends OptionSpecs> {
  readonly name: string
  readonly summary: string
  /** Longer help below the summary: what it changes, an example. */
  readonly description?: string
  readonly arguments?: Arguments
  readonly options?: Options
  run(
    ctx: CommandContext,
    args: Values<Arguments>,
    options: Values<Options>,
  ): Promise<ExitCode | void> | ExitCode | void
}

/** What a file in `commands/` exports as `register`. */
export type Register = (program: Command, session: CliSession) => void

/** One run of the program. */
export interface CliSession {
  readonly io: CliIo
  exitCode: ExitCode
}

/** Paragraphs without the line ends of the source, as the help breaks lines where the terminal does; indented lines stay. */
function flowing(text = ''): string {
  return text.replaceAll(/(?<!\n)\n(?![\n ])/g, ' ')
}

/** Makes a command's `register` out of its definition. */
export function defineCommand<
  const Arguments extends ArgumentSpecs = Record<never, never>,
  const Options extends OptionSpecs = Record<never, never>,
>(definition: CommandDefinition<Arguments, Options>): Register {
  return (program, session) => {
    const words = definition.name.split(' ')
    const parent = words.slice(0, -1).reduce(groupOf, program)
    const command = parent.command(words.at(-1) ?? definition.name)
    command.summary(definition.summary)
    command.description([definition.summary, flowing(definition.description)].filter(Boolean).join('\n\n'))
    const args = Object.entries(definition.arguments ?? {})
    for (const [key, spec] of args) command.addArgument(toArgument(key, spec))
    for (const [key, spec] of Object.entries(definition.options ?? {})) command.addOption(toOption(key, spec))
    command.action(async () => {
      const given = Object.fromEntries(args.map(([key], index) => [key, command.processedArgs[index] as unknown]))
      const releases: (() => Promise<void> | void)[] = []
      const ctx = createContext(session.io, command.optsWithGlobals(), releases)
      try {
        const code = await definition.run(ctx, given as Values<Arguments>, command.opts())
        session.exitCode = code ?? 0
      } finally {
        for (const release of releases.reverse()) await release()
      }
    })
  }
}

function groupOf(parent: Command, word: string): Command {
  const known = parent.commands.find((command) => command.name() === word)
  return known ?? parent.command(word).description(`Commands for ${word}`)
}

function createContext(io: CliIo, globals: GlobalOptions, releases: (() => Promise<void> | void)[]): CommandContext {
  let source: Promise<ConfigSource> | undefined
  let config: Promise<ResolvedConfig> | undefined
  let pool: Promise<pg.Pool> | undefined
  let directPool: Promise<pg.Pool> | undefined
  let schema: Promise<pg.Pool> | undefined
  const { config: file, databaseUrl } = globals
  const read = (): Promise<ConfigSource> =>
    (source ??= import('../config/load.js').then(({ readConfig }) =>
      readConfig({ file, databaseUrl, environment: io.env, cwd: io.cwd }),
    ))
  const loadConfig = async (): Promise<ResolvedConfig> => {
    const { resolveConfig } = await import('../config/index.js')
    const { raw, environment } = await read()
    return resolveConfig(raw, environment)
  }
  const loadSettings: CommandContext['loadSettings'] = async (names) => {
    const { resolveSettings } = await import('../config/settings.js')
    const { raw, environment } = await read()
    return resolveSettings(raw, environment, names)
  }
  const open = async (direct: boolean): Promise<pg.Pool> => {
    const { connectPool } = await import('../app/database.js')
    const { database } = (await databaseAlone(globals, io.env)) ?? (await loadSettings(['database']))
    const opened = await connectPool({
      connectionString: ((direct ? database.directUrl : undefined) ?? database.url).reveal(),
      max: Math.min(database.poolSize, 4),
      applicationName: 'waybill cli',
    })
    releases.push(() => opened.end())
    return opened
  }
  // what failed is not kept: a command may wait for its database
  const getPool = (): Promise<pg.Pool> =>
    (pool ??= open(false).catch((error: unknown) => {
      pool = undefined
      throw error
    }))
  return {
    io,
    globals,
    out: new Output(io.stdout, globals.json ?? false),
    loadConfig: () => (config ??= loadConfig()),
    loadSettings,
    pool: getPool,
    directPool: () => (directPool ??= open(true)),
    schema: () =>
      (schema ??= requireSchemaOf(getPool()).catch((error: unknown) => {
        schema = undefined
        throw error
      })),
    onEnd: (release) => void releases.push(release),
  }
}

async function requireSchemaOf(pool: Promise<pg.Pool>): Promise<pg.Pool> {
  const opened = await pool
  const { requireSchema } = await import('../app/database.js')
  await requireSchema(opened)
  return opened
}

async function databaseAlone(
  { databaseUrl, config }: GlobalOptions,
  env: Environment,
): Promise<Settings<'database'> | undefined> {
  if (databaseUrl === undefined || config !== undefined) return undefined
  // as in `loadConfig`: a direct URL of the environment belongs to another database
  const { resolveSettings } = await import('../config/settings.js')
  return resolveSettings({ database: { url: databaseUrl, directUrl: databaseUrl } }, env, ['database'])
}

/** The command was called wrongly in a way that no single option could tell. Exits with 2. */
export function usageError(message: string): WaybillError {
  return new WaybillError('WAYBILL_USAGE', message)
}

/** Parses and runs `argv` (without node and script); gives the exit code. Never throws and never exits. */
export async function runCli(argv: readonly string[], io: CliIo, commands: readonly Register[]): Promise<ExitCode> {
  const session: CliSession = { io, exitCode: 0 }
  const program = createProgram(io)
  for (const register of commands) register(program, session)
  try {
    await program.parseAsync(argv, { from: 'user' })
    return session.exitCode
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const json = argv.includes('--json')
    if (error instanceof CommanderError) {
      // called without a command: the help is on standard error already
      if (error.code !== 'commander.help') printError(io, usageError(error.message.replace(/^error: /, '')), json)
      return 2
    }
    printError(io, error, json)
    return codeOf(error) === 'WAYBILL_USAGE' ? 2 : 1
  }
}

function createProgram(io: CliIo): Command {
  // what commander would print about an error is printed by `printError`, once and in one form
  const output = {
    writeOut: (text: string) => void io.stdout.write(text),
    writeErr: (text: string) => void io.stderr.write(text),
    outputError: () => undefined,
  }
  return new Command('waybill')
    .description('Transactional outbox and dispatcher for PostgreSQL')
    .version(version)
    .option('--config <file>', 'configuration file (default: WAYBILL_CONFIG, else waybill.config.{ts,mts,js,mjs,json})')
    .option('--database-url <url>', 'PostgreSQL URL in place of the configured one; others on this host can see it')
    .option('--json', 'print JSON for programs')
    .configureOutput(output)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
}

function printError(io: CliIo, thrown: unknown, json: boolean): void {
  const error = thrown instanceof AggregateError ? ((thrown.errors[0] as unknown) ?? thrown) : thrown
  const code = codeOf(error)
  if (json) {
    const problems = error instanceof InputError ? error.problems : undefined
    const message = problems ? messageOf(error).split('\n', 1)[0] : messageOf(error)
    io.stderr.write(`${toJson({ error: { code: code ?? null, message, ...(problems && { problems }) } })}\n`)
    return
  }
  const text = messageOf(error).split('\n').map(printable).join('\n')
  io.stderr.write(`waybill: ${text}${code ? ` (${code})` : ''}\n`)
  if (io.env['WAYBILL_DEBUG'] && error instanceof Error) io.stderr.write(`${error.stack ?? ''}\n`)
}
